"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge import NotRunAlone
from onnx_arbiter.to_onnx import model_of


def run_model(
    model: Path | bytes, inputs: Mapping[str, Array], wanted: Sequence[str], *, optimise: bool
) -> dict[str, Array]:
    """Run a model, and return the outputs that are wanted."""
    names = list(wanted)
    return dict(zip(names, _open(model, optimise).run(names, dict(inputs)), strict=True))


def run_node(
    node: Node,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    types: Mapping[str, np.dtype[Any]],
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    model = model_of([node], types, inputs, constants)
    try:
        session = _open(model.SerializeToString(), optimise=False)
        names = [name for name in node.outputs if name]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # its exceptions share no base
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotRunAlone(f"ONNX Runtime does not run it alone ({first})") from error


def _open(model: Path | bytes, optimise: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
