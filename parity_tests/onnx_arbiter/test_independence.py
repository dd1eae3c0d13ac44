"""The number of independent errors is the formula's, and R's limit for it the chi-squared one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from onnx_arbiter.compare import compare_with_arbiter
from onnx_arbiter.independence import independent_errors, largest_ratio
from onnx_arbiter.limits import LIMITS, Limits
from parity_tests.support.tolerances import COUNTED, WILSON_HILFERTY


def by_definition(values: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    groups = [variance[values == value].sum() for value in np.unique(values)]
    return float(variance.sum() ** 2 / np.square(groups).sum())


@pytest.mark.parametrize("groups", [1, 2, 7, 60, 300])
def test_the_number_is_that_of_the_definition(groups: int) -> None:
    generator = np.random.default_rng(groups)
    values = generator.integers(groups, size=(8, 40, 40)).astype(np.float64)
    variance = generator.random(values.shape) ** 8
    variance[values == 0] *= 5
    expected = by_definition(values, variance)
    assert independent_errors(values, variance) == pytest.approx(expected, rel=COUNTED.limit)


def test_values_equal_in_float32_count_as_one() -> None:
    values = 1 + np.arange(1000) * 1e-12
    assert independent_errors(values, np.ones(1000)) == 1
    assert independent_errors(np.arange(1000.0), np.ones(1000)) > 900


def test_what_does_not_show_does_not_count() -> None:
    variance = np.zeros(1000)
    variance[500:502] = 1
    found = independent_errors(np.arange(1000.0), variance)
    assert found == pytest.approx(2, rel=COUNTED.limit)
    assert independent_errors(np.arange(1000.0), np.zeros(1000)) == math.inf


@pytest.mark.parametrize("chance", [1e-7, 1e-4])
@pytest.mark.parametrize("count", [1, 1.3, 2, 5, 20, 61, 1000, 1e6])
def test_the_limit_is_the_chi_squared_one_or_a_little_more(count: float, chance: float) -> None:
    exact = math.sqrt(chi2.isf(chance, count) / count)
    assert 1 <= largest_ratio(count, chance) / exact <= WILSON_HILFERTY.limit
    assert largest_ratio(math.inf, chance) == 1


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_errors_in_groups_exceed_the_limit_as_seldom_as_stated(groups: int) -> None:
    chance, images = 0.01, 4000
    limits = Limits(LIMITS.ratio, LIMITS.deviations, chance=chance)
    generator = np.random.default_rng(0)
    values = np.tile(np.repeat(np.arange(groups) + 1.0, 50), (images, 1))
    errors = np.repeat(generator.standard_normal((images, groups)), 50, axis=1)
    deviation = np.ones_like(values)
    failed = sum(
        not compare_with_arbiter(*(each[i : i + 1] for each in run), limits=limits).passed
        for run in [(values + errors, values, deviation)]
        for i in range(images)
    )
    # Some fail: the limit is the distribution's, and no wide margin. No more than stated do.
    deviations = 4 * math.sqrt(images * chance)
    assert 0 < failed < images * chance + deviations


def test_few_independent_errors_before_widen_the_limit() -> None:
    values, deviation = np.arange(1.0, 1001)[np.newaxis], np.ones((1, 1000))
    observed = values + 2 * np.where(np.arange(1000) % 2, 1, -1)
    assert not compare_with_arbiter(observed, values, deviation).passed
    asked: list[int] = []

    def independent(image: int) -> float:
        asked.append(image)
        return 5.0

    verdict = compare_with_arbiter(observed, values, deviation, independent=independent)
    assert verdict.passed
    assert verdict.ratio_limit == pytest.approx(largest_ratio(5, LIMITS.chance))
    assert asked == [0]
    # Where R is within the least limit, nothing is counted.
    near = compare_with_arbiter(values + 1, values, deviation, independent=independent)
    assert (near.passed, near.ratio_limit, asked) == (True, LIMITS.ratio.limit, [0])
    # Nor where even one error would not explain it.
    far = compare_with_arbiter(values + 9, values, deviation, independent=independent)
    assert (far.passed, far.ratio_limit, asked) == (False, LIMITS.ratio.limit, [0])
    assert "errors are 9 times the predicted size (limit 1.5)" in far.reason


def test_the_image_furthest_beyond_its_own_limit_is_named() -> None:
    # The first image has one value throughout: R = 3 is within its limit. The second has many.
    values = np.array([np.ones(1000), np.arange(1.0, 1001)])
    observed = values + np.array([[3.0], [1.6]])
    verdict = compare_with_arbiter(observed, values, np.ones_like(values))
    assert not verdict.passed
    assert verdict.ratio == pytest.approx(1.6)
    assert verdict.reason == "errors are 1.6 times the predicted size (limit 1.5)"
