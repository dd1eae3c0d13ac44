"""ONNX's own evaluator, in NumPy's float32: slow, and of no engine's making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.runtimes.runtime import Runtime, refusals, refusals_alone

if TYPE_CHECKING:
    import onnx

_NAME: Final = "onnx.reference"


def run(model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    """Run a file node by node."""
    with refusals(_NAME, model):
        return _run(str(model), inputs, wanted)


def run_node(
    node: Node,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    types: Mapping[str, np.dtype[Any]],
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    model = model_of([node], types, inputs, constants)
    with refusals_alone(_NAME):
        return _run(model, inputs, [name for name in node.outputs if name])


def _run(
    model: str | onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    names = list(wanted)
    found = ReferenceEvaluator(model).run(names, dict(inputs))
    return {name: np.asarray(values) for name, values in zip(names, found, strict=True)}


RUNTIME: Final = Runtime("reference", {"float32": run}, run_node)
