"""The period of tiles is found in errors that have it, and in no others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.algorithms.patterns import fit, periods, profile, without_shift
from parity_tests.support.tolerances import FLOAT64


@pytest.mark.parametrize("size", [4, 6])
def test_a_period_is_found_where_there_is_one(size: int) -> None:
    generator = np.random.default_rng(2)
    errors = generator.standard_normal((2, 4, 31, 29))
    assert periods(errors, (2, 4, 6)) == []
    rows, columns = (np.where(np.arange(length) % size == 0, 2, 1) for length in (31, 29))
    periodic = errors * rows[:, np.newaxis] * columns
    assert size in periods(periodic, (2, 4, 6))
    periodic[:, 1] = 0  # a channel without errors has no say
    assert size in periods(periodic, (2, 4, 6))
    first, *others = profile(periodic, size, 2)
    assert first > 1.5 * max(others)


def test_a_period_in_one_channel_is_none() -> None:
    errors = np.random.default_rng(2).standard_normal((2, 12, 60, 60))
    lines = np.where(np.arange(60) % 6 == 0, 2, 1)
    errors[:, 3] *= 100 * lines[:, np.newaxis] * lines
    assert periods(errors, (2, 4, 6)) == []


def along(length: int, period: int) -> NDArray[np.float64]:
    """Twice as large at every start of a period."""
    return np.where(np.arange(length) % period == 0, 2.0, 1.0)


def test_a_period_shows_whatever_the_unit_of_the_errors() -> None:
    errors = np.random.default_rng(2).standard_normal((2, 4, 31, 29))
    periodic = errors * along(31, 6)[:, np.newaxis] * along(29, 6)
    for unit in (1e-9, 1.0, 1e9):
        assert 6 in periods(periodic * unit, (6,))
        assert periods(errors * unit, (6,)) == []


def test_a_period_along_one_axis_alone_is_none() -> None:
    errors = np.random.default_rng(2).standard_normal((2, 4, 31, 29))
    assert periods(errors * along(31, 6)[:, np.newaxis], (6,)) == []
    assert periods(errors * along(29, 6), (6,)) == []


def test_a_channel_has_as_much_say_as_it_shows_errors() -> None:
    # Most errors of the periodic channel are hidden.
    errors = np.random.default_rng(2).standard_normal((2, 2, 60, 60))
    lines = along(60, 6) ** 2
    hidden = np.random.default_rng(3).random((2, 60, 60)) < 0.97
    errors[:, 1] *= np.where(hidden, np.nan, lines[:, np.newaxis] * lines)
    assert periods(errors[:, 1:], (6,)) == [6]
    assert periods(errors, (6,)) == []
    # As many of them show as many errors as the other channel.
    together = np.concatenate([errors[:, :1], *[errors[:, 1:]] * 33], axis=1)
    assert periods(together, (6,)) == [6]


def test_a_phase_without_errors_shows_no_period() -> None:
    errors = np.random.default_rng(2).standard_normal((1, 2, 30, 30))
    errors *= along(30, 6)[:, np.newaxis] * along(30, 6)
    assert periods(errors, (6,)) == [6]
    errors[:, :, 3::6] = np.nan
    assert periods(errors, (6,)) == []


def test_a_profile_is_the_root_mean_square_of_each_phase() -> None:
    errors = np.arange(1.0, 25.0).reshape(1, 2, 3, 4)
    errors[0, 1, 2, 3] = np.nan
    rows = [[*range(1, 5), *range(13, 17)], [*range(5, 9), *range(17, 21)]]
    last = [*range(9, 13), *range(21, 24)]
    expected = [np.sqrt(np.mean(np.square(row))) for row in ([*rows[0], *last], rows[1])]
    assert profile(errors, 2, 2) == pytest.approx(expected)
    # A tile may be larger than the map.
    each = [np.sqrt(np.mean(np.square(row))) for row in (*rows, last)]
    assert profile(errors, 8, 2) == pytest.approx(each)
    columns = [[start + 4 * row for row in range(6)] for start in (1, 2, 3, 4)]
    columns[3].remove(24)
    both = [np.sqrt(np.mean(np.square(column))) for column in columns]
    assert profile(errors, 4, 3) == pytest.approx(both)
    assert profile(np.full((1, 1, 2, 2), np.nan), 2, 2) == [0.0, 0.0]


def test_a_fit_is_computed_as_written() -> None:
    # Channels of one value and of three; the fourth has no predicted error.
    errors = np.array([[[[3.0, np.nan, np.nan, np.nan]], [[1.0, -4.0, 2.0, 5.0]]]])
    deviation = np.array([[[[2.0, 7.0, 7.0, 7.0]], [[0.5, 1.0, 4.0, 0.0]]]])
    found = fit(errors, deviation)
    assert found.ratio == pytest.approx(np.sqrt((9 + 1 + 16 + 4) / (4 + 0.25 + 1 + 16)))
    assert found.largest == 4.0
    likely = [
        np.log(2) + np.log(1.5**2) / 2,
        (np.log(0.5) + np.log(4)) / 3 + np.log((4 + 16 + 0.25) / 3) / 2,
    ]
    assert found.costs == pytest.approx(likely)
    assert fit(errors, np.zeros_like(deviation)).ratio == np.inf


def test_errors_are_likeliest_under_their_own_deviations() -> None:
    generator = np.random.default_rng(3)
    own = np.exp(generator.standard_normal((2, 4, 30, 30)))
    errors = own * generator.standard_normal(own.shape)
    flat = np.full(own.shape, np.sqrt(np.square(own).mean()))
    mine, other = fit(errors, own), fit(errors, flat)
    assert 0.9 < mine.ratio < 1.1
    assert (mine.costs < other.costs).all()
    # However large the errors are: a constant factor is for R to judge.
    scaled = fit(10 * errors, own)
    assert np.allclose(scaled.costs - mine.costs, np.log(10))
    assert scaled.largest == pytest.approx(10 * mine.largest)


def test_hidden_errors_count_for_nothing() -> None:
    errors, deviation = np.full((1, 2, 4, 4), np.nan), np.ones((1, 2, 4, 4))
    errors[0, 0, 0, :2] = 3.0, 0.0
    found = fit(errors, deviation)
    assert found.ratio == pytest.approx(np.sqrt(4.5))
    assert found.largest == 3
    assert np.isnan(found.costs).tolist() == [False, True]


def test_a_shift_of_a_whole_channel_is_gone_and_no_other() -> None:
    errors = np.random.default_rng(4).standard_normal((2, 3, 8, 8))
    deviation = np.exp(np.random.default_rng(5).standard_normal(errors.shape))
    errors[0, 1, :3] = np.nan
    deviation[1, 2, 4] = 0.0
    shift = np.array([5.0, -1e3, 1e-3])[:, np.newaxis, np.newaxis]
    left = without_shift(errors, deviation)
    shifted = without_shift(errors + shift, deviation)
    assert np.array_equal(np.isnan(left), np.isnan(errors))
    assert np.nanmax(np.abs(shifted - left)) < FLOAT64.limit * np.abs(shift).max()
    # What is left of each channel has a weighted mean of zero: its precise errors decide.
    seen = np.isfinite(errors) & (deviation > 0)
    weights = np.where(seen, 1 / np.where(seen, deviation, 1) ** 2, 0)
    means = np.nansum(left * weights, axis=(0, 2, 3)) / weights.sum(axis=(0, 2, 3))
    assert np.abs(means).max() < FLOAT64.limit
    # The images apart, as the tiles of an FFT are, is no shift of the channel.
    apart = np.zeros_like(errors)
    apart[0], apart[1] = 3.0, -3.0
    assert np.nanmin(np.abs(without_shift(apart, np.ones_like(apart)))) == 3.0


def test_a_channel_without_errors_has_no_shift() -> None:
    nothing = np.full((1, 2, 3, 3), np.nan)
    assert np.isnan(without_shift(nothing, np.ones_like(nothing))).all()
    zeros = np.zeros_like(nothing)
    assert np.array_equal(without_shift(zeros, zeros), zeros)
    # However small the predicted deviations are.
    ones = np.ones_like(zeros)
    assert np.array_equal(without_shift(ones, np.full_like(ones, 1e-200)), zeros)
