"""The period of tiles is found in errors that have it, and in no others."""

from __future__ import annotations

import numpy as np
import pytest

from vgg16_parity.judge.patterns import fit, periods, profile


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
