"""Behind a ReLU, what shows of true errors passes, and what shows of a mistake does not."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnx_arbiter.compare import compare_runs, compare_with_arbiter
from onnx_arbiter.limits import LIMITS, Tolerance
from onnx_arbiter.rectified import largest_sum, share_shown
from parity_tests.support.tolerances import FLOAT64, MODEL_FIT, ONE_TERM

DEPTHS: Final = (-3.0, 0.0, 1.0, 2.5)


def test_an_error_below_zero_counts_from_the_arbiters_preactivation() -> None:
    preactivation = np.array([[-3.0, 2.0, -1e-3]])
    deviation = np.full((1, 3), 1e-3)
    right = np.array([[0.0, 2.0, 0.0]])

    def deviations(*lifted: float) -> float:
        observed = right + np.array([lifted])
        return compare_with_arbiter(observed, preactivation, deviation, relu=True).deviations

    assert deviations(0, 0, 0) == 0
    # Half a deviation above zero, for a value one deviation below it.
    assert deviations(0, 0, 5e-4) == pytest.approx(1.5)
    # The same for a value far below zero: rounding does not do that.
    assert deviations(5e-4, 0, 0) > 1000
    # Without a ReLU, the value itself is expected.
    assert not compare_with_arbiter(right, preactivation, deviation).passed
    assert compare_with_arbiter(preactivation, preactivation, deviation).passed
    assert not compare_with_arbiter(preactivation, preactivation, deviation, relu=True).passed


# Before a ReLU, in units of the deviation, and what showed: one error of 1.6 deviations, among
# values of which none is less than a deviation below zero.
SHOWN: Final = (
    ([[-1.5, -1e6, -2e6]], [[0.1, 0.0, 0.0]], 1.6),
    ([[-1e6, -2e6, -1.5]], [[0.0, 0.0, 0.1]], 1.6),
    ([[-1.5, -1.5, -1.5]], [[0.0, 0.1, 0.0]], 1.6),
    ([[-3.0, -3.0], [-2.0, -1e6]], [[0.0, 0.0], [0.5, 0.0]], 2.5),
    ([[-6.0, -6.0, -6.0]], [[0.0, 0.0, 1.5]], 7.5),
    ([[[[-1.5, -1e6], [-1e6, -1e6]]]], [[[[0.1, 0.0], [0.0, 0.0]]]], 1.6),
)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize(("preactivation", "observed", "deviations"), SHOWN)
def test_a_single_error_that_shows_is_in_units_of_its_own_prediction(
    preactivation: list[float], observed: list[float], deviations: float, unit: float
) -> None:
    before, after = unit * np.array(preactivation), unit * np.array(observed)
    verdict = compare_with_arbiter(after, before, np.full(before.shape, unit), relu=True)
    assert verdict.passed, verdict.reason
    assert verdict.deviations == pytest.approx(deviations)
    assert verdict.ratio == pytest.approx(ratio_of_one(before, after, unit))
    # What is seen of it, without what the ReLU hides.
    assert verdict.max_error == after.max()
    assert verdict.rms_error == pytest.approx(after.max() / math.sqrt(after.size))
    # Between two runs, whichever of them has it.
    for runs in ((after, np.zeros_like(after)), (np.zeros_like(after), after)):
        compared = compare_runs(*runs, before, np.full(before.shape, unit), relu=True)
        assert (compared.passed, compared.ratio) == (True, verdict.ratio)
    hidden = compare_with_arbiter(0 * after, before, np.full(before.shape, unit), relu=True)
    assert (hidden.ratio, hidden.deviations, hidden.passed) == (0, 0, True)
    assert 0 <= hidden.rms_predicted < unit


def ratio_of_one(before: NDArray[np.float64], after: NDArray[np.float64], unit: float) -> float:
    """Of the image that has the error: its size over what shows of all predictions."""
    image = int(after.reshape(len(after), -1).max(axis=1).argmax())
    error, depths = float((after - before)[after > 0].item()), -before[image].ravel() / unit
    others = sum(
        depth * math.exp(-(depth**2) / 2) / math.sqrt(2 * math.pi) + math.erfc(depth / 2**0.5) / 2
        for depth in depths[after[image].ravel() == 0]
    )
    return error / unit / math.sqrt(1 + others)


@pytest.mark.parametrize(("factor", "passed"), [(0.999, True), (1.001, False)])
@pytest.mark.parametrize(("count", "depth"), [(50, 9), (5000, 6)])
def test_how_far_a_single_error_may_reach_is_for_z_to_say(
    count: int, depth: float, factor: float, passed: bool
) -> None:
    # However many others there are that should not show.
    before = -np.linspace(depth, depth + 0.01, count)[np.newaxis]
    observed = np.zeros_like(before)
    observed[0, 43] = factor * 10 + before[0, 43]
    verdict = compare_with_arbiter(observed, before, np.ones_like(before), relu=True)
    assert verdict.passed is passed
    assert verdict.reason.endswith("" if passed else "deviations (limit 10)")
    assert verdict.worst == (0, 43)


def test_values_far_below_zero_do_not_count_as_independent() -> None:
    # Equal values, whose error is one; behind the ReLU, others that differ and cannot show.
    before = np.concatenate([np.full(100, 5.0), -np.arange(1000.0, 2000)])[np.newaxis]
    observed = np.maximum(before + 3, 0)
    verdict = compare_with_arbiter(observed, before, np.ones_like(before), relu=True)
    assert verdict.passed
    assert verdict.ratio == pytest.approx(3)
    before[0, :100] += np.arange(100)
    differing = compare_with_arbiter(
        np.maximum(before + 3, 0), before, np.ones_like(before), relu=True
    )
    assert not differing.passed


def test_values_far_below_zero_change_no_limit() -> None:
    draw = np.random.default_rng(0)
    before = -draw.uniform(2, 3, (1, 100))
    observed = np.zeros_like(before)
    observed[0, :10] = 2
    beside = np.concatenate([before, -draw.uniform(50, 60, (1, 10_000))], axis=1)
    limits = [
        compare_with_arbiter(
            np.pad(observed, ((0, 0), (0, values.size - observed.size))),
            values,
            np.ones_like(values),
            relu=True,
            independent=lambda _: 5.0,
        ).ratio_limit
        for values in (before, beside)
    ]
    assert limits[0] > LIMITS.ratio.limit
    assert limits[1] == pytest.approx(limits[0])


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 300),
    # Of 16 bits, so that no square of theirs underflows.
    depth=st.floats(-6, 12, width=16),
    spread=st.floats(0, 20, width=16),
    scale=st.floats(-30, 30, width=16),
)
@settings(max_examples=300, deadline=None)
def test_rounding_behind_a_relu_passes_however_little_of_it_shows(
    seed: int, size: int, depth: float, spread: float, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    deviation = 10.0**scale * generator.lognormal(size=(2, size))
    preactivation = deviation * (spread * generator.standard_normal((2, size)) - depth)
    errors = deviation * generator.standard_normal((2, size))
    observed = np.maximum(preactivation + errors, 0)
    verdict = compare_with_arbiter(observed, preactivation, deviation, relu=True)
    assert verdict.passed, verdict.reason
    # No rms of errors is further off than the furthest error.
    assert verdict.ratio <= verdict.deviations * (1 + 1e-9)


Dark = tuple[NDArray[np.float64], NDArray[np.float64]]


def dark(depth: float, count: int, draw: np.random.Generator, alike: int = 1) -> Dark:
    """Values before a ReLU, and their deviations, in groups of equal ones: (1, count * alike)."""
    deviation = 2.0 ** draw.uniform(0, 0.5, (1, count))
    values = -deviation * (depth + 0.3 * draw.standard_normal(deviation.shape))
    return np.repeat(values, alike, axis=1), np.repeat(deviation, alike, axis=1)


@pytest.mark.parametrize("alike", [1, 4])
@pytest.mark.parametrize(
    ("count", "depth"), [(5, 0), (10, 1), (10, 2), (100, 2), (100, 3), (30, 3.5), (100, -2)]
)
def test_a_sum_of_true_errors_exceeds_the_largest_as_seldom_as_stated(
    count: int, depth: float, alike: int
) -> None:
    draw, chance, runs = np.random.default_rng(0), 0.02, 5000
    values, deviation = dark(depth, count, draw, alike)
    most = largest_sum(values, deviation, independent_of(deviation, alike), chance)
    errors = np.repeat(draw.standard_normal((runs, count)), alike, axis=1) * deviation
    sums = np.square(np.where(values + errors > 0, errors, 0)).sum(axis=1)
    exceeded = np.count_nonzero(sums > most)
    # Four standard deviations of a count.
    assert exceeded <= runs * chance + 4 * math.sqrt(runs * chance)
    # Nor is it a wide margin: half as much is exceeded.
    assert np.count_nonzero(sums > most / 2) > runs * chance / 4


def independent_of(deviation: NDArray[np.float64], alike: int) -> float:
    variance = np.square(deviation)
    return float(variance.sum() ** 2 / (alike * np.square(variance).sum()))


@pytest.mark.parametrize(
    ("count", "depth", "size", "shift"),
    [(300, 2, 2, 0), (300, 3, 2, 0), (3000, 5, 2, 0), (300, 4, 1, 3), (3000, 5, 1, 3)],
)
def test_a_mistake_shows_though_most_of_it_is_hidden(
    count: int, depth: float, size: float, shift: float
) -> None:
    # Errors twice as large, or a bias that is three deviations off: no error is beyond Z.
    for seed in range(20):
        draw = np.random.default_rng(seed)
        values, deviation = dark(depth, count, draw)
        normal = draw.standard_normal(values.shape)
        wrong, right = (
            np.maximum(values + deviation * errors, 0) for errors in (size * normal + shift, normal)
        )
        assert compare_with_arbiter(right, values, deviation, relu=True).passed
        verdict = compare_with_arbiter(wrong, values, deviation, relu=True)
        assert not verdict.passed
        assert verdict.deviations < LIMITS.deviations.limit


@pytest.mark.parametrize("independent", [1e9, 2.0])
def test_the_largest_sum_is_that_of_the_distribution(independent: float) -> None:
    # All values positive: a chi-squared variable, whose Chernoff bound is known.
    count, chance = 40, 1e-5
    values, deviation = np.ones(count), np.full(count, 3.0)
    alike = max(1.0, count / independent)
    slopes = np.linspace(1e-3, 1 - 1e-3, 10_000)
    freedom = count / alike
    bounds = (math.log(1 / chance) - freedom / 2 * np.log(1 - slopes)) * 2 / slopes
    found = largest_sum(values, deviation, independent, chance)
    assert 1 <= found / (alike * 9 * bounds.min()) <= ONE_TERM.limit
    # Errors of other sizes are no more alike for that.
    sizes = 2.0 ** np.linspace(0, 4, count)
    apart = [
        largest_sum(values, sizes, number, chance)
        for number in (independent_of(sizes, alike=1), 1e9)
    ]
    assert apart[0] == pytest.approx(apart[1], rel=FLOAT64.limit)
    # Chernoff's bound of a sum of chi-squared variables of those sizes.
    shares = np.square(sizes / sizes.max())
    logarithms = np.log(1 - slopes[:, np.newaxis] * shares).sum(axis=1)
    best = ((math.log(1 / chance) - logarithms / 2) * 2 / slopes).min() * sizes.max() ** 2
    assert 1 <= apart[0] / best <= ONE_TERM.limit
    # Values far below zero add nothing.
    more = np.concatenate([values, np.full(1000, -300.0)])
    assert largest_sum(more, np.full(len(more), 3.0), 1e9, chance) == pytest.approx(
        largest_sum(values, deviation, 1e9, chance), rel=FLOAT64.limit
    )


@pytest.mark.parametrize("depth", [0.0, 0.7, 3.0])
def test_the_share_that_shows_is_that_of_draws(depth: float) -> None:
    normal = np.random.default_rng(0).standard_normal(2_000_000)
    expected = np.square(np.where(normal > depth, normal, 0)).mean()
    before, deviation = np.array([-5.0 * depth]), np.array([5.0])
    found = share_shown(before, deviation, np.zeros(1)).item()
    assert found == pytest.approx(expected, rel=DRAWN.limit)
    assert share_shown(before, deviation, np.ones(1)).item() == 1
    assert share_shown(-before + 1e-9, deviation, np.zeros(1)).item() == 1
    assert share_shown(np.array([-1e9]), deviation, np.zeros(1)).item() == 0


DRAWN: Final = Tolerance(
    0.02, "the mean of two million draws, of which 2,700 count at a depth of 3"
)


@pytest.mark.parametrize("below", [0.1, 1.5, 3.0, 9.0])
def test_errors_that_lift_everything_out_of_a_relu_fail(below: float) -> None:
    # By half a deviation: far less of their size shows than there must be.
    deviation = np.full((1, 1000), 1e-6)
    preactivation = -below * deviation * np.linspace(0.9, 1, 1000)
    observed = np.full((1, 1000), 2e-6 if below < 2 else 5e-7)
    verdict = compare_with_arbiter(observed, preactivation, deviation, relu=True)
    assert not verdict.passed
    assert verdict.reason.startswith("errors are ")


@pytest.mark.parametrize("depth", DEPTHS)
def test_rounding_behind_a_relu_has_the_predicted_size(depth: float) -> None:
    generator = np.random.default_rng(7)
    deviation = np.ones((1, 200_000))
    preactivation = generator.standard_normal(deviation.shape) - depth
    observed = np.maximum(preactivation + generator.standard_normal(deviation.shape), 0)
    verdict = compare_with_arbiter(observed, preactivation, deviation, relu=True)
    assert 1 / MODEL_FIT.limit <= verdict.ratio <= ONE_TERM.limit


def test_a_difference_that_a_relu_hides_counts() -> None:
    preactivation = np.array([[-0.5, 0.25, -3.0, -0.5]])
    ours, theirs = np.array([[0.125, 0.25, 0.0, 0.9]]), np.array([[0.0, 0.5, 0.0, 0.5]])
    deviation = np.full((1, 4), 0.25)
    verdict = compare_runs(ours, theirs, preactivation, deviation, relu=True)
    # 0.125 is visible and at least 0.5 below zero is not; where both are positive, all is visible.
    assert verdict.deviations == pytest.approx((0.125 + 0.5) / 0.25)
    assert verdict.worst == (0, 0)
