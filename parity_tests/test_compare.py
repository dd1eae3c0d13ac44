"""The judgement fails whatever is not near, and says by how much."""

from __future__ import annotations

import numpy as np
import pytest

from parity.compare import LOGITS, Tolerance, judge, softmax, top

ARBITER = np.random.default_rng(0).standard_normal((3, 1000)) * 4
SIZES = np.abs(ARBITER).max(axis=1)


def test_equal_logits_pass_with_no_error() -> None:
    verdict = judge(ARBITER.copy(), ARBITER)
    assert verdict.passed
    assert verdict.max_error == verdict.relative_error == 0
    assert (verdict.images, verdict.top1_agreement, verdict.top5_agreement) == (3, 3, 3)
    assert verdict.reason == ""


@pytest.mark.parametrize(("factor", "passed"), [(0.99, True), (1.01, False)])
def test_the_limit_is_held_at_one_logit_of_one_image(factor: float, passed: bool) -> None:
    logits = ARBITER.copy()
    logits[1, 77] += factor * LOGITS.limit * SIZES[1]
    verdict = judge(logits, ARBITER)
    assert verdict.passed is passed
    assert verdict.max_error == np.abs(logits - ARBITER).max()
    # What it reports is the smallest limit that would have passed.
    assert judge(logits, ARBITER, Tolerance(verdict.relative_error, "what was found")).passed


def test_each_image_is_held_against_its_own_largest_logit() -> None:
    arbiter = np.vstack([ARBITER[0], ARBITER[1] * 1e6])
    logits = arbiter.copy()
    logits[0, 0] += 2 * LOGITS.limit * SIZES[0]  # nothing beside the second image's logits
    assert not judge(logits, arbiter).passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("whose", ["runtime", "arbiter"])
def test_what_is_not_finite_fails(value: float, whose: str) -> None:
    logits, arbiter = ARBITER.copy(), ARBITER.copy()
    (logits if whose == "runtime" else arbiter)[2, 5] = value
    verdict = judge(logits, arbiter)
    assert not verdict.passed
    assert "1 of" in verdict.reason
    assert verdict.reason.endswith("not finite")
    assert verdict.relative_error == np.inf


def test_the_same_nan_on_both_sides_fails() -> None:
    both = ARBITER.copy()
    both[0, 0] = np.nan
    assert not judge(both, both).passed


@pytest.mark.parametrize("shape", [(0, 1000), (3, 0), (3,)])
def test_nothing_compared_fails(shape: tuple[int, ...]) -> None:
    verdict = judge(np.zeros(shape), np.zeros(shape))
    assert not verdict.passed
    assert "nothing to compare" in verdict.reason


def test_a_missing_image_fails() -> None:
    verdict = judge(ARBITER[:2], ARBITER)
    assert not verdict.passed
    assert verdict.reason == "the logits are (2, 1000), the arbiter's are (3, 1000)"


def test_permuted_classes_fail() -> None:
    # Sorting both sides first would pass this.
    assert not judge(ARBITER[:, ::-1], ARBITER).passed


def test_an_arbiter_of_zeros_passes_nothing_but_zeros() -> None:
    zeros = np.zeros((1, 10))
    assert judge(zeros.copy(), zeros).passed
    assert not judge(zeros + 1e-30, zeros).passed


def test_agreement_counts_images() -> None:
    logits = ARBITER.copy()
    first, second = np.argsort(-logits[0])[:2]
    logits[0, [first, second]] = logits[0, [second, first]]  # same five, another first
    sixth = np.argsort(-logits[1])[5]
    logits[1, sixth] = logits[1].max() + 1  # another first, and another five
    verdict = judge(logits, ARBITER)
    assert verdict.top1_agreement == 1
    assert verdict.top5_agreement == 2


def test_top_is_ordered_and_ties_go_to_the_lower_class() -> None:
    assert top(np.array([[0.0, 3.0, 1.0, 3.0]]), 3).tolist() == [[1, 3, 2]]


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    probabilities = softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32))
    assert probabilities.tolist() == [[0.5, 0.5, 0.0]]


def test_every_tolerance_has_a_reason() -> None:
    import parity.compare
    from parity_tests import tolerances

    entries = [
        value
        for module in (parity.compare, tolerances)
        for value in vars(module).values()
        if isinstance(value, Tolerance)
    ]
    assert len(entries) >= 5
    assert all(len(entry.reason) > 40 for entry in entries)
