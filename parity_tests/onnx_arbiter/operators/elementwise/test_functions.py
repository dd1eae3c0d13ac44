"""Trigonometric and other functions: values, and the size of their errors from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnx_arbiter.operators.elementwise.erf import erf
from onnx_arbiter.operators.elementwise.functions import RULES
from onnx_arbiter.operators.operation import UNIT
from parity_tests.support.carried_errors import always
from parity_tests.support.operator_tolerances import CARRIED, ERF
from parity_tests.support.operators import Draw, assert_predicted, measure, node_of


def normal(scale: float) -> Draw:
    """Normal values."""
    return lambda rng: [(scale * rng.standard_normal((5, 41))).astype(np.float32)]


def uniform(low: float, high: float) -> Draw:
    """Values that are evenly distributed."""
    return lambda rng: [rng.uniform(low, high, (5, 41)).astype(np.float32)]


CASES: dict[str, Draw] = {
    "Erf": normal(1),
    "Sin": normal(3),
    "Cos": normal(3),
    "Tan": uniform(-1.2, 1.2),
    "Asin": uniform(-0.95, 0.95),
    "Acos": uniform(-0.95, 0.95),
    "Atan": normal(3),
    "Sinh": normal(0.7),
    "Cosh": normal(0.7),
    "Asinh": normal(3),
    "Acosh": uniform(1.2, 9),
    "Atanh": uniform(-0.9, 0.9),
}


@pytest.mark.parametrize("operator", CASES)
def test_errors_have_the_predicted_size(operator: str) -> None:
    draw = CASES[operator]
    node = node_of(operator, draw(np.random.default_rng(0)), version=22)
    assert_predicted(measure(node, draw))


@pytest.mark.parametrize(("operator", "at"), [("Cos", 0.0), ("Cosh", 0.0), ("Sin", math.pi / 2)])
def test_an_extreme_has_an_error_of_the_second_order(operator: str, at: float) -> None:
    extreme = np.full((4, 50), at, np.float32)
    measured = measure(node_of(operator, [extreme]), always(extreme), perturbation=1e-2)
    assert abs(measured.carried - 1) <= CARRIED.limit


@pytest.mark.parametrize(("operator", "end"), [("Asin", 1.0), ("Acos", -1.0), ("Acosh", 1.0)])
def test_where_slopes_are_infinite_errors_are_not(operator: str, end: float) -> None:
    values = np.array([end])
    [variance] = RULES[operator](node_of(operator, [values]), [values]).carried(
        [np.ones(1, np.float32)]
    )
    assert variance is not None
    # cos e = 1 - e² / 2, so that an error d of the cosine is one of √2d of the angle.
    assert np.sqrt(variance) * UNIT <= 2 * np.sqrt(2 * UNIT)


def test_erf_is_that_of_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(-7, 7, 50_000), 10.0 ** rng.uniform(-300, 0, 5_000)])
    expected = np.array([math.erf(value) for value in values.tolist()])
    assert np.max(np.abs(erf(values) / expected - 1)) <= ERF.limit
    np.testing.assert_array_equal(erf(np.array([np.nan, np.inf, -np.inf, 0.0])), [np.nan, 1, -1, 0])
