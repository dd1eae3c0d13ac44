"""ONNX's own evaluator, in NumPy's float32: slow, and of no engine's making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, refusals

if TYPE_CHECKING:
    import onnx

_NAME: Final = "onnx.reference"


def run(model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    """Run a file node by node."""
    with refusals(_NAME, model):
        return _run(str(model), inputs, wanted)


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    return _run(model, inputs, wanted)


def _run(
    model: str | onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    names = list(wanted)
    found = ReferenceEvaluator(model).run(names, dict(inputs))
    return {name: np.asarray(values) for name, values in zip(names, found, strict=True)}


RUNTIME: Final = Runtime("reference", {"float32": run}, run_node)
