"""The error model predicts what rounding does, operation by operation."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from onnx_arbiter.error_model import (
    ErrorVariance,
    Float64,
    ValueWithVariance,
    activate,
    squares_of,
)
from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES, SMALLEST_NORMAL, TRUNCATED_TF32
from parity_tests.support.arithmetic import rounding
from parity_tests.support.tolerances import (
    FLOAT32_TAPS,
    MEASURED_VARIANCE,
    UNIFORM_MANTISSAS,
)

FLOAT32 = MODES["float32"]
TRUNCATED = TRUNCATED_TF32.name
ALL = {**MODES, TRUNCATED: TRUNCATED_TF32}


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


@pytest.mark.parametrize(
    ("scale", "share"),
    [
        (1000, Tolerance(1, "errors of what is positive, and none of the other half")),
        (0, Tolerance(0.5, "at zero, errors of one sign; all of them are predicted")),
    ],
)
def test_a_relu_has_the_errors_of_what_it_passes(scale: float, share: Tolerance) -> None:
    draw = np.random.default_rng(0)
    values = scale * draw.standard_normal((1, 20_000))
    error = ErrorVariance(FLOAT32, values, np.ones_like(values))
    error.rectify(values)
    noisy = values + draw.standard_normal(values.shape)
    errors = activate(noisy, True) - activate(values, True)
    ratio = np.square(errors).mean() / np.square(error.accumulated_deviation()).mean() / share.limit
    assert 1 / MEASURED_VARIANCE.limit < ratio < MEASURED_VARIANCE.limit, share.reason


@pytest.mark.parametrize(("below", "passes"), [(2.9, True), (3.1, False)])
def test_a_relu_passes_errors_up_to_three_deviations_below_zero(below: float, passes: bool) -> None:
    error = ErrorVariance(TRUNCATED_TF32, np.ones((1, 1), np.float32))
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


def lifted(draw: np.random.Generator, tie: bool) -> tuple[Float64, Float64]:
    """Windows of four values, and the deviation of each."""
    values = draw.standard_normal((20_000, 4)) * 100
    if tie:
        return np.broadcast_to(values[:, :1], values.shape), np.ones_like(values)
    return values, 2.0 ** draw.uniform(-1, 1, values.shape)


@pytest.mark.parametrize(
    ("tie", "share"),
    [
        (False, Tolerance(1, "the winner's own error, where it is far above the others")),
        (True, Tolerance(1.55, "the largest of four normal errors: its mean is 1.03, not zero")),
    ],
)
def test_a_maximum_has_the_error_of_its_winner(tie: bool, share: Tolerance) -> None:
    draw = np.random.default_rng(0)
    values, deviation = lifted(draw, tie)
    error = ErrorVariance(FLOAT32, values, deviation)
    largest = values.max(axis=-1)
    error.maximum(values, largest)
    noisy = values + deviation * draw.standard_normal(values.shape)
    observed = np.square(noisy.max(axis=-1) - largest).mean()
    ratio = observed / np.square(error.accumulated_deviation()).mean() / share.limit
    assert 1 / MEASURED_VARIANCE.limit < ratio < MEASURED_VARIANCE.limit, share.reason


@pytest.mark.parametrize("mode", ["float32", "float16", "bfloat16"])
def test_a_maximum_of_rounded_values_has_the_rounding_of_one(mode: str) -> None:
    draw = np.random.default_rng(0)
    values = np.abs(draw.standard_normal((20_000, 4))) * 2.0 ** draw.uniform(0, 1, (20_000, 1))
    error = ErrorVariance(MODES[mode], values)
    error.multiply(values, np.zeros(values.shape, np.float32), error.accumulated, 1)
    largest = values.max(axis=-1)
    error.maximum(values, largest)
    errors = rounding.stored(values, mode).max(axis=-1) - largest
    ratio = np.square(errors).mean() / np.square(error.local_deviation(), dtype=np.float64).mean()
    share = ratio / UNIFORM_MANTISSAS.limit
    assert 1 / MEASURED_VARIANCE.limit < share < MEASURED_VARIANCE.limit


def test_a_network_that_begins_with_a_maximum_has_no_error_there() -> None:
    values = np.array([[1.0, 3.0]])
    error = ErrorVariance(FLOAT32, values)
    error.maximum(values, values.max(axis=-1))
    assert error.accumulated.tolist() == error.local.tolist() == [0]


def test_numbers_below_float16s_normal_ones_have_errors_of_a_gap() -> None:
    draw = np.random.default_rng(0)
    values = draw.uniform(2**-20, 2**-17, 20_000)
    deviation = ErrorVariance(MODES["float16"], values).accumulated_deviation()
    observed = np.square(rounding.stored(values, "float16") - values).mean()
    # Uniform over the gap; the prediction is the gap itself.
    share = 12 * observed / np.square(deviation, dtype=np.float64).mean()
    assert 1 / MEASURED_VARIANCE.limit < share < MEASURED_VARIANCE.limit


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_predicted_exact(mode: str) -> None:
    # A runtime may flush what is smaller than a normal number, whatever the values are.
    nothing = np.zeros((1, 1), np.float32)
    error = ErrorVariance(MODES[mode], nothing)
    smallest = MODES[mode].smallest
    assert error.accumulated_deviation().item() == error.local_deviation().item() == smallest
    none = nothing.astype(np.float64)
    assert ValueWithVariance(none, none).deviation(MODES[mode]).item() == smallest
    # In a sum, each square below the smallest number of float32 is lost.
    error.multiply(none, nothing, nothing, 9)
    assert error.accumulated.item() == error.local.item() == 9 * SMALLEST_NORMAL


# The modes up to a sum, None where there is one on the way -> the rounding of what it reads, in
# units of float32's.
READ: Final = (
    (["float32"], 0),
    (["float32", None, "float32"], 1),
    (["float16"], 2**26),
    (["bfloat16"], 2**32),
    (["float32", "float16"], 2**26),
    (["float32", None, "bfloat16"], 2**32),
    (["float16", "float32"], 1),
    (["float16", "float32", None, "float32"], 1),
    (["float16", None, "bfloat16"], 2**32),
    (["bfloat16", None, "float16"], 2**26),
    (["float32", TRUNCATED, "float32"], 0),
)


@pytest.mark.parametrize(("modes", "rounding"), READ, ids=str)
def test_a_sum_reads_values_as_the_modes_so_far_round_them(
    modes: list[str | None], rounding: float
) -> None:
    one = np.ones((1, 1), np.float32)
    first, *rest = modes
    assert first is not None
    error = ErrorVariance(ALL[first], one)
    for mode in rest:
        if mode is None:
            error.multiply(np.ones((1, 1)), one, error.accumulated, 1)
        else:
            error.switch(ALL[mode], one.astype(np.float64))
    error.multiply(np.ones((1, 1)), one, 0 * one, 1)
    assert error.local.item() - error.accumulated.item() == pytest.approx(
        rounding, abs=error.local.item() * FLOAT32_TAPS.limit
    )


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ("float32", "float16", 2**26),
        (TRUNCATED, "bfloat16", 2**32),
        ("float16", "bfloat16", 2**32),
        ("bfloat16", "float16", 0),
        ("float16", "float16", 0),
        ("float16", "float32", 0),
        ("float32", TRUNCATED, 0),
        ("float32", "tf32", 0),
    ],
)
def test_a_mode_of_fewer_bits_rounds_what_it_is_given(
    before: str, after: str, added: float
) -> None:
    values = np.array([[3.0, -5.0]])
    error = ErrorVariance(ALL[before], values, np.ones_like(values))
    accumulated = error.accumulated
    error.switch(ALL[after], values)
    assert error.mode is ALL[after]
    assert np.array_equal(error.accumulated, accumulated + np.float32(added) * squares_of(values))
    # A mean error begins with the mode that truncates, and is carried on by all others.
    assert (error.bias is None) is (TRUNCATED not in (before, after))
    if error.bias is not None:
        assert not error.bias.any()
        assert error.bias.shape == values.shape
        error.bias += 1
        error.switch(FLOAT32, values)
        error.switch(TRUNCATED_TF32, values)
        assert error.bias.all()


def test_a_mean_error_and_a_variance_make_one_deviation() -> None:
    error = ErrorVariance(TRUNCATED_TF32, np.ones((1, 1), np.float32))
    error.accumulated, error.local = (np.full((1, 1), 3 * v, np.float32) for v in (9, 25))
    unit = np.float32(FLOAT32.sums)
    error.bias, error.local_bias = (np.full((1, 1), v, np.float32) for v in (4 * unit, 12 * unit))
    assert error.accumulated_deviation().item() == pytest.approx(5 * unit)
    assert error.local_deviation().item() == pytest.approx(13 * unit)


def test_a_move_of_values_moves_their_variance() -> None:
    both = ValueWithVariance(np.arange(6.0).reshape(2, 3), np.arange(6.0, 12).reshape(2, 3))
    moved = both.moved(np.transpose)
    assert moved.values.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert moved.variance.tolist() == [[6, 9], [7, 10], [8, 11]]
    assert moved.deviation(FLOAT32) == pytest.approx(np.sqrt(moved.variance))


def test_a_relu_keeps_what_is_not_a_number() -> None:
    values = np.array([[-1.0, 2.0, np.nan]])
    assert np.array_equal(activate(values, True), [[0, 2, np.nan]], equal_nan=True)
    assert activate(values, False) is values


def test_a_move_keeps_every_error_with_its_value() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    error = ErrorVariance(TRUNCATED_TF32, numbers)
    assert error.bias is not None
    error.accumulated, error.bias = squares_of(numbers), numbers
    error.move(np.transpose)
    assert np.array_equal(error.accumulated, [[0, 9], [1, 16], [4, 25]])
    assert np.array_equal(error.bias, [[0, 3], [1, 4], [2, 5]])


def test_truncation_takes_the_same_fraction_of_both_operands() -> None:
    mode = replace(TRUNCATED_TF32, truncation_bias=0.125)
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
    candidates = np.array([[[8.0, 9.0, 0.0 if third else -100.0, 8.0]]]) / 8
    error = ErrorVariance(TRUNCATED_TF32, candidates)
    error.bias = np.array([[[-0.125, 0.375, -0.625, 0.25]]], np.float32)
    error.maximum(candidates, candidates.max(axis=-1))
    assert error.bias.ravel().tolist() == [largest / 8]
    # Given rounded values, a maximum returns one of them unchanged.
    assert error.local_bias is not None
    assert error.local_bias.ravel().tolist() == [0]
