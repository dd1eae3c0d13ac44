"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.runtimes.runtime import Runtime, refusals, refusals_alone

_NAME: Final = "ONNX Runtime"


def run_optimised(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file with every optimisation, ONNX Runtime's default."""
    with refusals(_NAME, model):
        return _run(_open(str(model), optimise=True), inputs, wanted)


def run_unoptimised(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file node by node, as it is written."""
    with refusals(_NAME, model):
        return _run(_open(str(model), optimise=False), inputs, wanted)


def run_node(
    node: Node,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    types: Mapping[str, np.dtype[Any]],
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    model = model_of([node], types, inputs, constants)
    with refusals_alone(_NAME):
        session = _open(model.SerializeToString(), optimise=False)
        return _run(session, inputs, [name for name in node.outputs if name])


def _run(session: Any, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    names = list(wanted)
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


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
