"""MNN on the CPU, whose converter reads ONNX files.

It computes 3×3 convolutions by Winograd's algorithm where it finds that faster, and does not say
where: the errors show it (``onnx_arbiter.judge.algorithms``).

It runs in a process of its own: it writes what it does to the standard output, where reports go,
and crashes on some graphs that it cannot convert.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.runtimes.folding import folded
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, of_file
from vgg16_spec.files.scratch import scratch_folder

if TYPE_CHECKING:
    import onnx

_NAME: Final = "MNN"
_FAILED: Final = (RuntimeError, SystemError, ValueError)


def _run(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a model; values that MNN computes together with others are left out."""
    model = folded(model)
    given = {value.name: inputs[value.name] for value in model.graph.input if value.name in inputs}
    outputs = [value.name for value in model.graph.output if value.name in wanted]
    with scratch_folder("onnx-arbiter") as folder:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            with warnings.catch_warnings():
                # Python starts its tracker of resources anew where another library has ended it.
                warnings.filterwarnings("ignore", "resource_tracker")
                submitted = _process().submit(_computed, path, given, outputs)
            return submitted.result()
        except BrokenProcessPool as error:
            _process.cache_clear()
            raise RuntimeError("it crashed") from error


run_node = each_alone(_NAME)(_run)


@cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), _be_silent)


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)


def _computed(model: Path, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
    from MNN import expr

    converted = _converted(model)
    known = _known(converted, list(inputs), outputs)
    network = _opened(converted, list(inputs), known)
    given = [expr.const(values, list(values.shape), expr.NCHW) for values in inputs.values()]
    results = network.forward(given)
    # MNN packs channels by four; `read` returns a view.
    arrays = [np.array(expr.convert(each, expr.NCHW).read()) for each in results]
    return dict(zip(known, arrays, strict=True))


def _converted(model: Path) -> Path:
    # MNN's converter. The script `mnnconvert` calls it too, but then reports each use to a server.
    import _tools

    target = model.with_suffix(".mnn")
    source = ("-f", "ONNX", "--modelFile", str(model))
    words = ["mnnconvert", *source, "--MNNModel", str(target), "--bizCode", "onnx"]
    if not _tools.mnnconvert(words) or not target.exists():
        raise RuntimeError("its converter refuses the graph")
    return target


def _known(model: Path, inputs: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The values that a converted file still has: MNN makes one operation of a sum and its ReLU."""
    if len(wanted) == 1 or _opens(model, inputs, wanted):
        return list(wanted)
    return [name for name in wanted if _opens(model, inputs, [name])]


def _opens(model: Path, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    try:
        _opened(model, inputs, outputs)
    except _FAILED:
        return False
    return True


def _opened(model: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    from MNN import expr, nn

    # On a CPU both "normal", the default, and "high" compute in float32.
    settings = {"backend": expr.Backend.CPU, "precision": "normal", "numThread": os.cpu_count()}
    runtime = nn.create_runtime_manager((settings,))
    return nn.load_module_from_file(
        str(model), list(inputs), list(outputs), runtime_manager=runtime
    )


RUNTIME: Final = Runtime("mnn", {"default": of_file(_NAME, _run)}, run_node)
