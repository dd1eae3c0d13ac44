"""A comparison fails whatever is too far off, and says by how much."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.compare import (
    HISTOGRAM_EXPONENTS,
    combine_blocks,
    compare_runs,
    compare_with_arbiter,
)
from onnx_arbiter.limits import GRADIENT_LIMITS, LIMITS, Limits, Tolerance

ARBITER = np.random.default_rng(0).standard_normal((3, 1000)) * 4
# Another size for each element, so that dividing by a neighbour's shows.
DEVIATION = np.abs(np.random.default_rng(1).standard_normal((3, 1000))) + 0.1
R, Z = LIMITS.ratio.limit, LIMITS.deviations.limit


def test_equal_values_pass_with_no_error() -> None:
    verdict = compare_with_arbiter(ARBITER.copy(), ARBITER, DEVIATION)
    assert verdict.passed
    assert verdict.max_error == verdict.ratio == verdict.deviations == 0
    assert verdict.reason == ""
    assert sum(verdict.histogram) == 0


def test_where_no_error_is_possible_none_passes_and_any_fails() -> None:
    """As where all weights are zero. Nothing warns of a division."""
    none = np.zeros_like(DEVIATION)
    none[0] = DEVIATION[0]
    assert compare_with_arbiter(ARBITER.copy(), ARBITER, none).passed
    values = ARBITER.copy()
    values[0, 5] += 0.5 * DEVIATION[0, 5]
    verdict = compare_with_arbiter(values, ARBITER, none)
    assert verdict.passed
    assert 0 < verdict.deviations < 1
    values[1, 7] += 1e-12
    verdict = compare_with_arbiter(values, ARBITER, none)
    assert not verdict.passed
    assert verdict.ratio == verdict.deviations == np.inf
    assert verdict.worst == (1, 7)


@pytest.mark.parametrize(("factor", "passed"), [(0.99, True), (1.01, False)])
def test_z_is_held_at_one_element_of_one_image(factor: float, passed: bool) -> None:
    values = ARBITER.copy()
    values[1, 77] += factor * Z * DEVIATION[1, 77]
    verdict = compare_with_arbiter(values, ARBITER, DEVIATION)
    assert verdict.passed is passed
    assert verdict.worst == (1, 77)
    assert verdict.max_error == np.abs(values - ARBITER).max()
    assert ("predicted standard deviations (limit" in verdict.reason) is not passed
    # What it reports is the smallest limit that would have passed.
    smallest = Limits(LIMITS.ratio, Tolerance(verdict.deviations, "what was found"))
    assert compare_with_arbiter(values, ARBITER, DEVIATION, limits=smallest).passed


@pytest.mark.parametrize(("factor", "passed"), [(0.99, True), (1.01, False)])
def test_r_is_held_for_each_image(factor: float, passed: bool) -> None:
    values = ARBITER.copy()
    # Every element of one image is as far off: little against Z, and a third of it over all images.
    values[2] += factor * R * DEVIATION[2] * np.where(np.arange(1000) % 2, 1, -1)
    verdict = compare_with_arbiter(values, ARBITER, DEVIATION)
    assert verdict.passed is passed
    assert ("times the predicted size (limit" in verdict.reason) is not passed
    smallest = Limits(Tolerance(verdict.ratio, "what was found"), LIMITS.deviations)
    assert compare_with_arbiter(values, ARBITER, DEVIATION, limits=smallest).passed


def test_the_figures_are_those_of_the_definition() -> None:
    errors = np.random.default_rng(2).standard_normal(ARBITER.shape) * 0.3
    verdict = compare_with_arbiter(ARBITER + errors, ARBITER, DEVIATION)
    found = (ARBITER + errors) - ARBITER
    ratios = np.sqrt((found**2).mean(axis=1) / (DEVIATION**2).mean(axis=1))
    assert verdict.ratio == pytest.approx(ratios.max())
    assert verdict.deviations == pytest.approx((np.abs(found) / DEVIATION).max())
    assert verdict.rms_error == pytest.approx(np.sqrt((found**2).mean()))
    assert verdict.rms_predicted == pytest.approx(np.sqrt((DEVIATION**2).mean()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("whose", ["runtime", "arbiter"])
def test_what_is_not_finite_fails(value: float, whose: str) -> None:
    values, arbiter = ARBITER.copy(), ARBITER.copy()
    (values if whose == "runtime" else arbiter)[2, 5] = value
    verdict = compare_with_arbiter(values, arbiter, DEVIATION)
    assert not verdict.passed
    assert verdict.reason.startswith("1 of ")
    assert verdict.reason.endswith("not finite")
    assert ("arbiter" in verdict.reason) is (whose == "arbiter")
    assert verdict.ratio == verdict.deviations == np.inf


def test_nan_on_both_sides_fails() -> None:
    both = ARBITER.copy()
    both[0, 0] = np.nan
    assert not compare_with_arbiter(both, both, DEVIATION).passed


@pytest.mark.parametrize("shape", [(0, 1000), (3, 0), (3,)])
def test_nothing_compared_fails(shape: tuple[int, ...]) -> None:
    verdict = compare_with_arbiter(np.zeros(shape), np.zeros(shape), np.ones(shape))
    assert not verdict.passed
    assert "nothing to compare" in verdict.reason


def test_another_shape_fails_even_where_it_would_broadcast() -> None:
    verdict = compare_with_arbiter(ARBITER[:1], ARBITER, DEVIATION)
    assert not verdict.passed
    assert verdict.reason == "its shape is (1, 1000), the arbiter's is (3, 1000)"


def test_permuted_classes_fail() -> None:
    # Sorting both sides first would pass this.
    assert not compare_with_arbiter(ARBITER[:, ::-1], ARBITER, DEVIATION * 1e-3).passed


def test_the_histogram_counts_every_error_once_between_powers_of_two() -> None:
    values, one = ARBITER.copy(), np.ones_like(ARBITER)
    for index, error in enumerate((2.0**-12, 0.75, 0.75, 3.0, 2.0**20)):
        values[0, index] = ARBITER[0, index] + error
    histogram = compare_with_arbiter(values, ARBITER, one).histogram
    assert len(histogram) == len(HISTOGRAM_EXPONENTS) + 1
    assert sum(histogram) == 5
    zero = HISTOGRAM_EXPONENTS.index(0)
    assert (histogram[0], histogram[zero], histogram[zero + 2], histogram[-1]) == (1, 2, 1, 1)
    # The bins of a report that is read by another version are the same.
    assert (HISTOGRAM_EXPONENTS[0], HISTOGRAM_EXPONENTS[-1]) == (-8, 16)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_passes_nothing(bad: float) -> None:
    deviation = DEVIATION.copy()
    deviation[1, 5] = bad
    verdict = compare_with_arbiter(ARBITER * 1.5, ARBITER, deviation)
    assert not verdict.passed
    assert "too large to judge" in verdict.reason


@pytest.mark.parametrize("kind", [complex, bool, str])
def test_what_are_no_real_numbers_pass_nothing(kind: type) -> None:
    verdict = compare_with_arbiter(ARBITER.astype(kind), ARBITER, DEVIATION)
    assert not verdict.passed
    assert verdict.reason.endswith("not real numbers")


@pytest.mark.parametrize(("factor", "passed"), [(0.99, True), (1.01, False)])
def test_two_runs_are_compared_with_each_other_and_not_with_the_arbiter(
    factor: float, passed: bool
) -> None:
    # Both have the same error: there is no difference between them.
    ours, theirs = ARBITER + 100 * DEVIATION, ARBITER + 100 * DEVIATION
    assert compare_runs(ours, theirs, ARBITER, DEVIATION).max_error == 0
    ours[1, 77] += factor * Z * DEVIATION[1, 77]
    for pair in ((ours, theirs), (theirs, ours)):
        verdict = compare_runs(*pair, ARBITER, DEVIATION)
        assert (verdict.passed, verdict.worst) == (passed, (1, 77))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_runs_that_are_not_finite_or_of_another_shape_never_pass(value: float) -> None:
    broken = ARBITER.copy()
    broken[2, 3] = value
    for pair in ((broken, ARBITER), (ARBITER, broken), (broken, broken)):
        assert not compare_runs(*pair, ARBITER, DEVIATION).passed
    assert not compare_runs(ARBITER[:, :-1], ARBITER, ARBITER, DEVIATION).passed
    assert not compare_runs(ARBITER[:, :0], ARBITER[:, :0], ARBITER[:, :0], DEVIATION[:, :0]).passed


def test_blocks_of_different_sizes_give_the_verdict_on_the_whole() -> None:
    # One image whose rows are the second axis; the largest error is in the short last block.
    generator = np.random.default_rng(3)
    expected = generator.standard_normal((1, 10, 4, 5))
    deviation = np.abs(generator.standard_normal(expected.shape)) + 0.1
    observed = expected + deviation * generator.standard_normal(expected.shape)
    observed[0, 9, 2, 3] += 3 * Z * deviation[0, 9, 2, 3]
    # The largest error by itself is elsewhere, where it is expected.
    deviation[0, 1, 2, 3] = 1e3
    observed[0, 1, 2, 3] += 900
    blocks = []
    for start in (0, 4, 8):
        rows = np.s_[:, start : start + 4]
        verdict = compare_with_arbiter(observed[rows], expected[rows], deviation[rows])
        blocks.append((start, expected[rows].size, verdict))
    combined, whole = (
        combine_blocks(blocks, LIMITS),
        compare_with_arbiter(observed, expected, deviation),
    )
    # Row 9 of the one image.
    assert (combined.worst, whole.worst) == ((9, 2, 3), (0, 9, 2, 3))
    assert not combined.passed
    assert (combined.reason, combined.histogram) == (whole.reason, whole.histogram)
    for figure in ("ratio", "deviations", "max_error", "rms_error", "rms_predicted"):
        assert getattr(combined, figure) == pytest.approx(getattr(whole, figure)), figure
    missing = compare_with_arbiter(observed[0, :2], expected[0, :2] * np.nan, deviation[0, :2])
    assert combine_blocks([*blocks, (10, 1, missing)], LIMITS) is missing


def test_a_whole_may_pass_though_one_of_its_blocks_does_not() -> None:
    expected = np.random.default_rng(4).standard_normal((1, 100, 30))
    deviation, errors = np.full(expected.shape, 0.5), np.full(expected.shape, 0.1)
    errors[:, :2] = 1.0  # R is 2 there, and 0.34 in all
    blocks = []
    for start, end in ((0, 2), (2, 100)):
        rows = np.s_[:, start:end]
        verdict = compare_with_arbiter((expected + errors)[rows], expected[rows], deviation[rows])
        assert verdict.passed == (start > 0)
        blocks.append((start, expected[rows].size, verdict))
    assert combine_blocks(blocks, LIMITS).passed


def test_the_limits_of_gradients_do_not_depend_on_the_number_of_errors() -> None:
    one, deviation = np.ones((1, 100)), np.ones((1, 100))
    verdict = compare_with_arbiter(one + 4.5, one, deviation, limits=GRADIENT_LIMITS)
    assert (verdict.passed, verdict.ratio_limit) == (False, GRADIENT_LIMITS.ratio.limit)
    # One value throughout: of a forward pass, that is one error, and passes.
    assert compare_with_arbiter(one + 4.5, one, deviation).passed
