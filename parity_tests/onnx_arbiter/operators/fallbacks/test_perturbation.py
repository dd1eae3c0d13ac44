"""Operators without a rule: the reference's values, and the measured effect of errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Graph, Input, Node
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.operators.fallbacks.perturbation import Perturbed, perturbed
from onnx_arbiter.operators.operation import Unsupported
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operator_tolerances import IN_PROPORTION, PERTURBED
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone


def _values(*shape: int) -> Array:
    return np.random.default_rng(math.prod(shape)).standard_normal(shape).astype(np.float32)


def test_values_are_computed_in_float64() -> None:
    matrices = _values(5, 4, 4)
    operation = perturbed(node_of("Det", [matrices]), [matrices])
    np.testing.assert_array_equal(operation.outputs[0], np.linalg.det(matrices.astype(np.float64)))
    assert "no rule for Det" in operation.why_not_alone


def test_the_effect_of_errors_is_that_of_the_derivative() -> None:
    matrices = _values(200, 3, 3)
    operation = perturbed(node_of("Det", [matrices]), [matrices])
    size = np.float32(4)
    [variance] = operation.carried([np.full(matrices.shape, size)])
    assert variance is not None
    exact = matrices.astype(np.float64)
    # Jacobi: the derivative of a determinant by the matrix is that of its cofactors.
    cofactors = np.linalg.det(exact)[:, None, None] * np.linalg.inv(exact).transpose(0, 2, 1)
    expected = size * np.square(cofactors).sum(axis=(1, 2))
    assert (variance >= variance.min()).all()
    above = variance > 1.01 * variance.min()
    ratio = np.sqrt(variance[above].sum(dtype=float) / expected[above].sum())
    assert abs(ratio - 1) < PERTURBED.limit
    assert variance.min() == pytest.approx(expected.mean(), rel=2 * PERTURBED.limit)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_the_effect_is_in_proportion_to_the_errors(size: float) -> None:
    matrices = _values(6, 3, 3)
    operation = perturbed(node_of("Det", [matrices]), [matrices])
    [one] = operation.carried([np.ones(matrices.shape, np.float32)])
    [other] = operation.carried([np.full(matrices.shape, size, np.float32)])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other, size * one, rtol=IN_PROPORTION.limit)


def test_both_readings_of_a_value_are_moved() -> None:
    values = _values(1, 2, 4, 2)
    node = Node("n", "GridSample", ("x", "x"), ("y",), version=20)
    operation = Perturbed(node, [values, values])
    variance = np.ones(values.shape, np.float32)
    for given in ([variance, None], [None, variance]):
        [found] = operation.carried(given)
        assert found is not None
        assert found.min() > 0


def test_an_error_does_not_change_a_size() -> None:
    values, scales = _values(1, 2, 5, 6), np.array([1, 1, 2, 2], np.float32)
    node = node_of("Resize", [values, None, scales], mode="linear")
    operation = Perturbed(node, [values, None, scales])
    assert operation.carried([None, None, np.ones(4, np.float32)]) == (None,)
    [own] = operation.own(FLOAT32)
    assert own is not None
    assert own.min() > 0


def test_integers_that_errors_change_decide() -> None:
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 2], [3, 3, 4, 4]]], np.float32)
    for gap, decides in ((1e-7, True), (0.1, False)):
        scores = np.array([[[0.9, 0.8, 0.5 + gap]]], np.float32)
        inputs = [boxes, scores, np.array([3]), np.array([0.5], np.float32), np.array([0.5])]
        node = node_of("NonMaxSuppression", inputs)
        operation = Perturbed(node, [*inputs[:4], inputs[4].astype(np.float32)])
        operation.carried([None, np.full(scores.shape, 100, np.float32), None, None, None])
        assert operation.decides == [decides]


SAMPLES = np.random.default_rng(0).uniform(-0.8, 0.8, (1, 9, 9, 2)).astype(np.float32)
BOXES = np.array([[1.1, 1.2, 5.9, 5.3], [0.8, 2.3, 6.2, 6.1]], np.float32)
FOLLOWED: dict[str, tuple[list[Array], dict[str, Any]]] = {
    "GridSample": ([_values(1, 2, 7, 6), SAMPLES], {"version": 20}),
    "RoiAlign": ([_values(1, 2, 8, 8), BOXES, np.zeros(2, np.int64)], {"output_height": 3}),
    "Det": ([_values(50, 4, 4)], {}),
    "DFT": ([_values(2, 16, 1)], {"version": 20}),
}


@pytest.mark.parametrize("operator", FOLLOWED)
def test_what_follows_a_node_has_errors_within_reach(operator: str) -> None:
    inputs, attributes = FOLLOWED[operator]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    [got] = run_alone(node, step, inputs)
    error = got - step.outputs["y0"].values
    deviation = step.outputs["y0"].deviation(FLOAT32)
    ratio = np.sqrt(np.square(error).mean() / np.square(deviation).mean())
    assert 0.1 * LIMITS.ratio.limit < ratio <= LIMITS.ratio.limit
    assert (np.abs(error) <= LIMITS.deviations.limit * deviation).all()


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("RandomNormal", "draws at random"),
        ("Bernoulli", "draws at random"),
        ("Loop", "runs a graph several times"),
    ],
)
def test_what_cannot_be_predicted_is_refused_with_a_reason(operator: str, reason: str) -> None:
    node = Node("n", operator, ("x",), ("y",))
    rule = rule_of(node)
    assert rule is not None
    with pytest.raises(Unsupported, match=reason):
        rule(node, [np.ones(3)])


def test_a_node_that_nothing_can_evaluate_is_reported() -> None:
    values = _values(3)
    node = Node("n", "StringNormalizer", ("x",), ("y",))
    graph = Graph((node,), {"x": Input(values.dtype, values.shape)}, ("y",))
    [step] = walk(graph, {"x": values}, [FLOAT32])
    assert "StringNormalizer" in step.why
