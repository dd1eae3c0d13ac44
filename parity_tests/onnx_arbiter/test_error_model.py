"""The error model predicts what rounding does, operation by operation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.error_model import ErrorVariance, squares_of
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.tolerances import MODEL_FIT, PURE_ROUNDING

FLOAT32 = MODES["float32"]


@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["either sign", "one sign"])
def test_rounding_of_a_sum_is_predicted(offset: float) -> None:
    # The same sums, computed one product after the other in float32, and exactly.
    length, count = 500, 4000
    draw = np.random.default_rng(3)
    weights = (draw.standard_normal((count, length)) + offset).astype(np.float32)
    inputs = np.abs(draw.standard_normal((count, length))).astype(np.float32)
    rounded = np.cumsum(weights * inputs, axis=1, dtype=np.float32)[:, -1]
    products = weights.astype(np.float64) * inputs
    error = ErrorVariance(FLOAT32, inputs)
    squares = np.square(products).sum(axis=1).astype(np.float32)
    error.multiply(products.sum(axis=1), squares, np.zeros_like(squares), length)
    predicted = error.accumulated_deviation().astype(np.float64)
    errors = rounded - products.sum(axis=1)
    ratio = np.sqrt(np.square(errors).mean() / np.square(predicted).mean())
    assert 1 / MODEL_FIT.limit < ratio < MODEL_FIT.limit


def test_an_error_of_the_inputs_is_added_to_the_rounding() -> None:
    sums, squares = np.array([[3.0, -5.0]]), np.array([[7.0, 11.0]], np.float32)
    error = ErrorVariance(FLOAT32, np.ones((1, 2), np.float32))
    error.multiply(sums, squares, np.zeros_like(squares), 4)
    exact = error.accumulated
    carried = np.array([[100.0, 1000.0]], np.float32)
    error.multiply(sums, squares, carried, 4)
    assert np.array_equal(error.accumulated, carried + exact)
    # Locally, only the inputs' own rounding to float32 is added.
    assert np.array_equal(error.local, exact + squares)


@pytest.mark.parametrize(("below", "passes"), [(2.9, True), (3.1, False)])
def test_a_relu_passes_errors_up_to_three_deviations_below_zero(below: float, passes: bool) -> None:
    error = ErrorVariance(MODES["tf32"], np.ones((1, 1), np.float32))
    assert error.bias is not None
    error.accumulated = np.array([[1e8]], np.float32)
    error.bias = np.array([[1e-4]], np.float32)
    preactivation = -below * error.accumulated_deviation().astype(np.float64)
    error.rectify(preactivation)
    assert (error.accumulated.item() > 0) is (error.bias.item() > 0) is passes


def test_a_maximum_passes_on_an_error_that_may_lift_its_element_to_the_maximum() -> None:
    # Next to the maximum: two elements that their errors lift to it, and one that stays below.
    candidates = np.array([[1.0, 1 - 5e-5, 1.0, 0.99]])
    error = ErrorVariance(FLOAT32, candidates)
    error.accumulated = np.array([[1.0, 1e6, 4.0, 1e8]], np.float32)
    error.maximum(candidates, candidates.max(axis=-1))
    assert error.accumulated.tolist() == [1e6]


def test_a_move_keeps_every_error_with_its_value() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    error = ErrorVariance(MODES["tf32"], numbers)
    assert error.bias is not None
    error.accumulated, error.bias = squares_of(numbers), numbers
    error.move(np.transpose)
    assert np.array_equal(error.accumulated, [[0, 9], [1, 16], [4, 25]])
    assert np.array_equal(error.bias, [[0, 3], [1, 4], [2, 5]])


def test_truncation_takes_the_same_fraction_of_both_operands() -> None:
    mode = replace(MODES["tf32"], truncation_bias=0.125)
    error = ErrorVariance(mode, np.ones((1, 2), np.float32))
    error.truncate(np.array([[8.0, -4.0]]), np.array([[1.0, 2.0]], np.float32))
    assert error.local_bias is not None
    assert error.bias is not None
    assert np.array_equal(error.local_bias, [[-2, 1]])
    assert np.array_equal(error.bias, [[-1, 3]])


@pytest.mark.parametrize(("third", "largest"), [(False, 3.0), (True, -5.0)])
def test_a_maximum_passes_on_the_largest_mean_error_of_possible_winners(
    third: bool, largest: float
) -> None:
    # Three times its mean lifts every candidate to the maximum, or all but the third.
    candidates = np.array([[[8.0, 9.0, 0.0 if third else -100.0, 8.0]]])
    error = ErrorVariance(MODES["tf32"], candidates)
    error.bias = np.array([[[-1, 3, -5, 2]]], np.float32)
    error.maximum(candidates, candidates.max(axis=-1))
    assert error.bias.ravel().tolist() == [largest]
    # Given rounded values, a maximum returns one of them unchanged.
    assert error.local_bias is not None
    assert error.local_bias.ravel().tolist() == [0]


def rounding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The error of rounding to float32, in predicted standard deviations."""
    unit = FLOAT32.unit_variance**0.5
    scaled: NDArray[np.float64] = (values.astype(np.float32) - values) / (unit * np.abs(values))
    return scaled


def test_pure_rounding_of_log_uniform_values_has_an_rms_of_0_7355() -> None:
    values = 2 ** np.random.default_rng(0).uniform(-10, 10, 1_000_000)
    rms = np.sqrt(np.square(rounding(values)).mean())
    assert rms == pytest.approx(np.sqrt(3 / (8 * np.log(2))), rel=PURE_ROUNDING.limit)
    assert rms == pytest.approx(0.7355, rel=PURE_ROUNDING.limit)


def test_pure_rounding_has_that_r_whatever_the_scale_of_the_values() -> None:
    # R is the rms of all errors over that of all predictions: a value counts by its square. On
    # average over the scales that normal values may have, it is the same.
    normal = np.random.default_rng(1).standard_normal(250_000)
    squares = []
    for scale in 2 ** np.arange(0, 1, 1 / 16):
        values = scale * normal
        squares.append(np.average(np.square(rounding(values)), weights=np.square(values)))
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.7355, rel=PURE_ROUNDING.limit)
    assert max(squares) <= 1
