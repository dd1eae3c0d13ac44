"""Check a rule that moves elements: a runtime that moves values moves their variances alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.operation import Variance
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operators import evaluated, run_alone


def by_reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """What ONNX's reference computes, for variants that ONNX Runtime does not implement."""
    from onnx.reference import ReferenceEvaluator

    from onnx_arbiter.models.to_onnx import model_of

    named = {n: v for n, v in zip(node.inputs, inputs, strict=True) if n and v is not None}
    step = evaluated(node, inputs)
    model = model_of([node], {name: value.dtype for name, value in step.outputs.items()}, named)
    found = ReferenceEvaluator(model).run(list(node.outputs), named)
    return [np.asarray(values) for values in found]


def by_runtime(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """What ONNX Runtime computes."""
    return run_alone(node, evaluated(node, inputs), inputs)


def assert_moves(
    node: Node,
    inputs: Sequence[Array | None],
    reference: bool = False,
    still: Sequence[int] = (),
) -> None:
    """Values and variances, all of them different, must move as the runtime moves values.

    Args:
        node: the move.
        inputs: what it reads.
        reference: whether ONNX's reference stands for the runtime.
        still: inputs of floats that say how to move, and are not moved.
    """
    run = by_reference if reference else by_runtime
    found = run(node, inputs)
    # A constant arrives in its own type.
    for constants in ((), range(len(inputs))):
        step = evaluated(node, inputs, constants=constants)
        for name, expected in zip(node.outputs, found, strict=True):
            value = step.outputs[name]
            assert value.dtype == expected.dtype
            assert value.values.dtype == (np.float64 if value.dtype.kind == "f" else value.dtype)
            np.testing.assert_array_equal(value.values, expected)
    rng = np.random.default_rng(1)
    variances: list[Variance] = [
        _distinct(rng, v.shape)
        if v is not None and v.dtype.kind == "f" and index not in still
        else None
        for index, v in enumerate(inputs)
    ]
    rule = rule_of(node)
    assert rule is not None
    exact = [v.astype(np.float64) if v is not None and v.dtype.kind == "f" else v for v in inputs]
    operation = rule(node, exact)
    carried = operation.carried(variances)[: len(node.outputs)]
    shown = [v if s is None else s for v, s in zip(inputs, variances, strict=True)]
    for part, expected in zip(carried, run(node, shown), strict=True):
        if part is None:
            assert expected.dtype.kind != "f"
        else:
            assert part.dtype == np.float32
            np.testing.assert_array_equal(part, expected)
    assert all(v is None for v in operation.carried([None] * len(inputs)))


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Numbers that differ, in no order, between 0 and 1: one may stand for a ratio."""
    size = int(np.prod(shape))
    numbers: Float32 = rng.permutation(np.arange(1, size + 1)).astype(np.float32) / np.float32(1024)
    return numbers.reshape(shape)
