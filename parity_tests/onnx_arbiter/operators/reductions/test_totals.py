"""Reductions: values in every form of the operators, and the size of their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import REACH, UNIT
from onnx_arbiter.operators.reductions.norms import reduce_l2
from onnx_arbiter.operators.reductions.totals import reduce_prod
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.moves import by_reference
from parity_tests.support.operators import (
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)


def normal(*shape: int) -> Draw:
    """Normal values, reduced over the last two axes."""
    return lambda rng: [rng.standard_normal(shape, np.float32), LAST]


def positive(*shape: int) -> Draw:
    """Values that a logarithm is taken of the sum of."""
    return lambda rng: [(0.1 + rng.random(shape, np.float32)), LAST]


LAST = np.array([-1, 1], np.int64)
CASES: dict[str, Draw] = {
    "ReduceSum": normal(40, 4, 5),
    "ReduceMean": normal(40, 4, 5),
    "ReduceL1": normal(40, 4, 5),
    "ReduceL2": normal(40, 4, 5),
    "ReduceSumSquare": normal(40, 4, 5),
    "ReduceLogSum": positive(40, 4, 5),
    "ReduceLogSumExp": normal(40, 4, 5),
}


@pytest.mark.parametrize("operator", CASES)
def test_errors_have_the_predicted_size(operator: str) -> None:
    draw = CASES[operator]
    assert_predicted(measure(node_of(operator, draw(np.random.default_rng(0))), draw))


def test_products_err_as_predicted() -> None:
    def draw(rng: np.random.Generator) -> list[Array]:
        return [rng.uniform(0.5, 1.5, (60, 4, 2)).astype(np.float32), LAST]

    node = node_of("ReduceProd", draw(np.random.default_rng(0)))
    assert_predicted(measure(node, draw))


def test_a_product_with_a_zero_carries_the_zeros_error() -> None:
    node = node_of("ReduceProd", [np.zeros(3)])
    operation = reduce_prod(node, [np.array([0.0, 2.0, 3.0])])
    [carried] = operation.carried([np.ones(3, np.float32)])
    np.testing.assert_array_equal(carried, [36])


def test_a_norm_that_may_be_zero_carries_all_errors() -> None:
    for size, expected in ((0.99, 5.0), (1.01, 1.0)):
        values = np.array([size * REACH * UNIT * 5**0.5, 0.0])
        operation = reduce_l2(node_of("ReduceL2", [values], keepdims=0), [values])
        [carried] = operation.carried([np.array([1, 4], np.float32)])
        assert carried is not None
        assert carried.item() == pytest.approx(expected)


ALONG: dict[str, dict[str, Any]] = {
    "forwards": {},
    "backwards": {"reverse": 1},
    "exclusive": {"exclusive": 1},
    "exclusive and backwards": {"exclusive": 1, "reverse": 1},
}


@pytest.mark.parametrize("name", ALONG)
def test_cumulative_sums_err_as_predicted(name: str) -> None:
    def draw(rng: np.random.Generator) -> list[Array]:
        return [rng.standard_normal((4, 9, 3), np.float32), np.array(-2, np.int64)]

    node = node_of("CumSum", draw(np.random.default_rng(0)), **ALONG[name])
    assert_predicted(measure(node, draw))


# version, axes as an input or an attribute, other attributes
FORMS: dict[str, tuple[int, tuple[int, ...] | None, dict[str, Any]]] = {
    "axes as an input": (21, (0, -1), {}),
    "no axes": (21, None, {}),
    "no axes, none meant": (21, (), {"noop_with_empty_axes": 1}),
    "axes dropped": (21, (1,), {"keepdims": 0}),
    "axes as an attribute": (11, None, {"axes": (0, 2)}),
    "everything, as an attribute": (11, None, {"keepdims": 0}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operator", [*CASES, "ReduceProd", "ReduceMax", "ReduceMin"])
def test_every_form_reduces_the_same_axes_as_the_runtime(operator: str, form: str) -> None:
    version, axes, attributes = FORMS[form]
    values = (np.arange(24, dtype=np.float32) % 7 + 1).reshape(2, 3, 4)
    inputs: list[Array | None] = [values]
    if axes is not None:
        inputs.append(np.array(axes, np.int64))
    node = node_of(operator, inputs, version=version, **attributes)
    step = evaluated(node, inputs)
    [expected] = run_alone(node, step, inputs)
    found = step.outputs["y0"].values
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    # Far more than roundings: other axes give other integers, means or logarithms.
    np.testing.assert_array_almost_equal_nulp(found.astype(np.float32), expected, 16)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceProd", "ReduceMax", "ReduceMean"])
def test_integers_are_reduced_exactly(operator: str) -> None:
    inputs = [np.array([[2**53 + 1, 1], [3, -8]], np.int64), np.array([1], np.int64)]
    if operator == "ReduceMean":  # ONNX Runtime divides in floats
        inputs[0] = np.array([[7, -2], [3, -8]], np.int64)
    node = node_of(operator, inputs)
    value = evaluated(node, inputs).outputs["y0"]
    [expected] = by_reference(node, inputs)
    assert value.values.dtype == np.int64
    np.testing.assert_array_equal(value.values, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
def test_the_largest_of_no_elements_is_less_than_all(operator: str, dtype: type) -> None:
    inputs = [np.zeros((2, 0, 3), dtype), np.array([1], np.int64)]
    step = evaluated(node_of(operator, inputs, keepdims=0), inputs)
    least: dict[type, tuple[Any, Any]] = {
        np.float32: (-np.inf, np.inf),
        np.int32: (-(2**31), 2**31 - 1),
        np.bool_: (False, True),
    }
    expected = least[dtype][operator == "ReduceMin"]
    np.testing.assert_array_equal(step.outputs["y0"].values, np.full((2, 3), expected))


@pytest.mark.parametrize(
    ("operator", "expected"), [("ReduceProd", 1), ("ReduceLogSumExp", -np.inf)]
)
def test_no_elements_have_an_identity(operator: str, expected: float) -> None:
    inputs: list[Array] = [np.zeros((2, 0, 3), np.float32), np.array([1], np.int64)]
    step = evaluated(node_of(operator, inputs), inputs)
    np.testing.assert_array_equal(step.outputs["y0"].values, np.full((2, 1, 3), expected))


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceProd", "ReduceLogSumExp"])
def test_errors_of_no_elements_bring_none(operator: str) -> None:
    inputs: list[Array] = [np.zeros((2, 0)), np.array([1], np.int64)]
    rule = rule_of(node_of(operator, inputs))
    assert rule is not None
    with np.errstate(all="ignore"):
        operation = rule(node_of(operator, inputs), inputs)
        [found] = operation.carried([np.zeros((2, 0), np.float32), None])
    assert found is None or (found.shape == (2, 1) and not found.any())
