"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnx_arbiter.graph import Array
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, refusals
from onnx_arbiter.runtimes.stoppable import run_session

if TYPE_CHECKING:
    import onnx

_NAME: Final = "ONNX Runtime"


def run_optimised(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file with every optimisation, ONNX Runtime's default."""
    with refusals(_NAME, model):
        return run_session(_open(str(model), optimise=True), inputs, wanted)


def run_unoptimised(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file node by node, as it is written."""
    with refusals(_NAME, model):
        return run_session(_open(str(model), optimise=False), inputs, wanted)


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    return run_session(_open(model.SerializeToString(), optimise=False), inputs, wanted)


def _open(model: str | bytes, optimise: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


RUNTIME: Final = Runtime(
    "onnxruntime", {"optimised": run_optimised, "not optimised": run_unoptimised}, run_node
)
