"""OpenVINO on the CPU.

By its default hint, "performance", it computes in bfloat16 on a processor that multiplies it, and
in float16 on some ARM processors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.runtimes.runtime import Compute, Runtime, each_alone, refusals

if TYPE_CHECKING:
    import onnx

_NAME: Final = "OpenVINO"
# Its sums in float32, whatever the processor could do.
FLOAT32: Final[Mapping[str, str]] = {"INFERENCE_PRECISION_HINT": "f32"}


def open_graph(model: str | bytes, wanted: Sequence[str], config: Mapping[str, Any]) -> Compute:
    """Open a graph with a configuration.

    Args:
        model: a file's path, or its bytes.
        wanted: the outputs to give; those that it does not have are left out.
        config: what ``Core.compile_model`` takes.
    """
    import openvino

    core = openvino.Core()
    compiled: Any = core.compile_model(core.read_model(model), "CPU", dict(config))
    given = {name for place in compiled.inputs for name in place.names}
    known = {name for place in compiled.outputs for name in place.names}

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        # An input that nothing reads may have been dropped.
        results = compiled({name: inputs[name] for name in inputs if name in given})
        # Copies: the results are views of buffers that the next run writes into.
        return {name: np.array(results[name]) for name in wanted if name in known}

    return compute


def run_default(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file as OpenVINO does by default."""
    with refusals(_NAME, model):
        return open_graph(str(model), wanted, {})(inputs)


def run_float32(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file in float32."""
    with refusals(_NAME, model):
        return open_graph(str(model), wanted, FLOAT32)(inputs)


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone in float32; a `NodeRunner`."""
    return open_graph(model.SerializeToString(), wanted, FLOAT32)(inputs)


def default_mode() -> Mode:
    """The numeric mode that it computes float32 in by default on this processor."""
    import openvino

    name = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    return MODES[{"bf16": "bfloat16", "f16": "float16"}.get(name, "float32")]


RUNTIME: Final = Runtime(
    "openvino",
    {"default": run_default, "float32": run_float32},
    run_node,
    modes={"default": default_mode},
)
