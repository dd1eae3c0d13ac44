"""The judgement fails whatever is not near, and says by how much."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, compare_with_arbiter
from onnx_arbiter.limits import LIMITS, Limits, Tolerance
from vgg16_parity.judge.decisions import decide
from vgg16_spec.logits import softmax, top

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
def test_r_is_held_for_each_image_by_itself(factor: float, passed: bool) -> None:
    values = ARBITER.copy()
    # Every element of one image as far off: nothing beside Z, and a third of it over all images.
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


def test_where_relu_cuts_a_value_counts_from_where_the_arbiter_was() -> None:
    before = np.array([[-3.0, 2.0, -1e-3]])
    deviation = np.full((1, 3), 1e-3)
    right = np.array([[0.0, 2.0, 0.0]])
    assert compare_with_arbiter(right, before, deviation, relu=True).passed
    # Half a deviation above zero, of a value one deviation below it: one and a half off.
    lifted = compare_with_arbiter(right + np.array([[0, 0, 5e-4]]), before, deviation, relu=True)
    assert lifted.deviations == pytest.approx(1.5)
    # The same above a value that lies far below: no rounding does that.
    assert (
        compare_with_arbiter(
            right + np.array([[5e-4, 0, 0]]), before, deviation, relu=True
        ).deviations
        > 1000
    )
    # Without the ReLU the value itself is wanted.
    assert not compare_with_arbiter(right, before, deviation, relu=False).passed
    assert compare_with_arbiter(before, before, deviation, relu=False).passed
    assert not compare_with_arbiter(before, before, deviation, relu=True).passed


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


def logits(**changes: float) -> np.ndarray:
    """Ten logits from 9 down to 0, with changes: (1, 10)."""
    values = np.arange(9.0, -1, -1)
    for place, value in changes.items():
        values[int(place[1:])] = value
    return values[np.newaxis]


@pytest.mark.parametrize(
    ("arbiter", "runtime", "outcome"),
    [
        (logits(), logits(), "agrees"),
        # The first two change places; the allowed error of both together is 2 * Z * 0.01.
        (logits(_0=8 + Z * 0.015), logits(_0=7.9), "inside"),
        (logits(_0=8 + Z * 0.025), logits(_0=7.9), "flipped"),
        # So do the fifth and the sixth, which the set of the first five tells.
        (logits(_5=5 - Z * 0.015), logits(_5=5.1), "inside"),
        (logits(_5=5 - Z * 0.025), logits(_5=5.1), "flipped"),
        # Places among the first five, the first apart, are no other decision.
        (logits(), logits(_1=6.5), "agrees"),
    ],
)
def test_a_decision_that_rounding_can_turn_is_told_from_one_it_cannot(
    arbiter: np.ndarray, runtime: np.ndarray, outcome: str
) -> None:
    (decision,) = decide(runtime, arbiter, np.full((1, 10), 0.01))
    assert decision.outcome == outcome
    assert decision.largest_error == np.abs(runtime - arbiter).max()
    ordered = np.sort(arbiter[0])
    assert decision.margin == ordered[-1] - ordered[-2]
    assert decision.arbiter_top1 == int(arbiter.argmax())
    assert decision.top1 == int(runtime.argmax())


def test_top_is_ordered_and_ties_go_to_the_lower_class() -> None:
    assert top(np.array([[0.0, 3.0, 1.0, 3.0]]), 3).tolist() == [[1, 3, 2]]


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    probabilities = softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32))
    assert probabilities.tolist() == [[0.5, 0.5, 0.0]]


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


def test_numbers_without_a_sign_keep_their_order() -> None:
    whole = np.arange(10, dtype=np.uint8)[np.newaxis]
    (decision,) = decide(whole, whole.astype(np.float64), np.full((1, 10), 0.01))
    assert (decision.top1, decision.outcome) == (9, "agrees")
