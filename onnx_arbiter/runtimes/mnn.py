"""MNN on the CPU, whose converter reads ONNX files.

It computes 3×3 convolutions by Winograd's algorithm where it finds that faster, and does not say
where: the errors show it (``onnx_arbiter.judge.algorithms``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, refusals
from vgg16_spec.files.scratch import scratch_folder

if TYPE_CHECKING:
    import onnx

_NAME: Final = "MNN"
_FAILED: Final = (RuntimeError, SystemError, ValueError)


def run_file(model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    """Run a file; values that MNN computes together with others are left out."""
    import onnx

    with refusals(_NAME, model):
        graph = onnx.load(model, load_external_data=False).graph
        return _run(model, [value.name for value in graph.input], inputs, wanted)


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    with scratch_folder("onnx-arbiter") as folder:
        path = folder / "node.onnx"
        path.write_bytes(model.SerializeToString())
        return _run(path, [value.name for value in model.graph.input], inputs, wanted)


def _run(
    model: Path, order: Sequence[str], inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    given = [name for name in order if name in inputs]
    with scratch_folder("onnx-arbiter") as folder, _silent():
        from MNN import expr

        converted = _converted(model, folder / "model.mnn")
        known = _known(converted, given, wanted)
        network = _opened(converted, given, known)
        results = network.forward(
            [expr.const(inputs[name], list(inputs[name].shape), expr.NCHW) for name in given]
        )
        # MNN packs channels by four; `read` returns a view.
        arrays = [np.array(expr.convert(each, expr.NCHW).read()) for each in results]
    return dict(zip(known, arrays, strict=True))


def _converted(model: Path, target: Path) -> Path:
    # MNN's converter. The script `mnnconvert` calls it too, but then reports each use to a server.
    import _tools

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


@contextmanager
def _silent() -> Iterator[None]:
    """MNN writes what it does to the standard output, where reports go."""
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "wb"))  # noqa: PTH123 - no file of ours
        for number in (1, 2):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(nowhere.fileno(), number)
        yield


RUNTIME: Final = Runtime("mnn", {"default": run_file}, run_node)
