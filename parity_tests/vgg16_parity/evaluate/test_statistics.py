"""Accuracy, intervals and tests equal what slow and independent formulas give."""

from __future__ import annotations

import math
import statistics as library
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.tolerances import EXACT_P, FLOAT64, WILSON_DIGITS
from vgg16_parity.evaluate.statistics import (
    NO_ANSWER,
    Statistics,
    answers,
    in_blocks,
    mcnemar,
    measure,
    share,
)
from vgg16_spec.logits import softmax, top

CLASSES = 12
NAMES = tuple(f"class {index}" for index in range(CLASSES))


def logits(seed: int, images: int = 40, classes: int = CLASSES) -> NDArray[np.float32]:
    """Few values, so that many are equal."""
    values = np.random.default_rng(seed).integers(-3, 4, (images, classes))
    return (values * 1.5).astype(np.float32)


def truth(images: int = 40) -> list[int | None]:
    """Some images have no label, and class 3 has no image."""
    drawn = np.random.default_rng(9).choice([i for i in range(CLASSES) if i != 3], images)
    return [None if place % 7 == 5 else int(label) for place, label in enumerate(drawn)]


def measured(labels: list[int | None], **given: Any) -> Statistics:
    blocks = {name: in_blocks(values, 16) for name, values in given.items()}
    return measure(blocks, labels, [f"{i}.png" for i in range(len(labels))], NAMES)


def test_accuracy_and_loss_are_those_of_a_plain_loop() -> None:
    labels, values = truth(), logits(1)
    (found,) = measured(labels, torch=values).runtimes
    pairs = [(row, label) for row, label in zip(values, labels, strict=True) if label is not None]
    orders = [[c for _, c in sorted((-v, c) for c, v in enumerate(row))] for row, _ in pairs]
    first = [order[0] == label for order, (_, label) in zip(orders, pairs, strict=True)]
    five = [label in order[:5] for order, (_, label) in zip(orders, pairs, strict=True)]
    assert found.top1 == share(sum(first), len(pairs))
    assert found.top5 == share(sum(five), len(pairs))
    losses = [math.log(math.fsum(math.exp(v - row[label]) for v in row)) for row, label in pairs]
    assert found.loss == pytest.approx(library.fmean(losses), rel=FLOAT64.limit)
    for each in found.classes:
        own = [place for place, (_, label) in enumerate(pairs) if label == each.index]
        assert each.name == NAMES[each.index]
        assert each.top1 == share(sum(first[place] for place in own), len(own))
        assert each.top5 == share(sum(five[place] for place in own), len(own))
    assert [each.index for each in found.classes] == sorted({label for _, label in pairs})
    assert 3 not in [each.index for each in found.classes]


def test_equal_logits_are_ranked_as_everywhere_else() -> None:
    values = logits(2)
    assert len(np.unique(values)) < CLASSES
    said = answers(values, np.full(len(values), -1, np.int32))
    np.testing.assert_array_equal(said.top5, top(values, 5))
    best = softmax(values).max(axis=1)
    np.testing.assert_allclose(said.probability, best, rtol=FLOAT64.limit)


def test_pairs_are_those_of_a_plain_loop() -> None:
    labels = truth()
    # The others differ from the first at a third of the images each, some of them the same.
    given = {name: logits(0) for name in ("torch", "keras", "onnx")}
    given["keras"][4:17] = logits(1)[4:17]
    given["onnx"][12:25] = logits(2)[12:25]
    found = measured(labels, **given)
    best = {name: [int(row.argmax()) for row in values] for name, values in given.items()}
    disputed = set()
    for pair, (one, two) in zip(found.pairs, combinations(given, 2), strict=True):
        assert (pair.first, pair.second) == (one, two)
        rows = list(zip(best[one], best[two], labels, strict=True))
        disputed |= {place for place, (a, b, _) in enumerate(rows) if a != b}
        assert pair.differing == sum(a != b for a, b, _ in rows)
        assert pair.only_first == sum(a == c != b for a, b, c in rows)
        assert pair.only_second == sum(b == c != a for a, b, c in rows)
        assert pair.p == mcnemar(pair.only_first, pair.only_second)
        assert pair.largest_difference == float(np.abs(given[one] - given[two]).max())
    assert found.disputed == tuple(sorted(disputed))
    assert 0 < len(disputed) < 40


@pytest.mark.parametrize("rows", [(1, 1), (7, 40), (40, 9)])
def test_the_cut_into_blocks_changes_nothing(rows: tuple[int, int]) -> None:
    labels, one, two = truth(), logits(1), logits(2)
    whole = measured(labels, torch=one, keras=two)
    blocks = {"torch": in_blocks(one, rows[0]), "keras": in_blocks(two, rows[1])}
    cut = measure(blocks, labels, whole.names, NAMES)
    assert (cut.runtimes, cut.pairs, cut.disputed) == (
        whole.runtimes, whole.pairs, whole.disputed,
    )  # fmt: skip


def test_logits_that_are_not_finite_are_wrong_and_named() -> None:
    labels: list[int | None] = [0, 0, 0, 0, None]
    good = np.zeros((5, CLASSES), np.float32)
    good[:, 0] = 4
    bad = good.copy()
    bad[1, 0], bad[2, 7], bad[3, 5], bad[4, 1] = np.nan, np.inf, -np.inf, np.nan
    found = measured(labels, good=good, bad=bad, worse=bad)
    good_one, bad_one, _ = found.runtimes
    assert good_one.not_finite == ()
    assert bad_one.not_finite == ("1.png", "2.png", "3.png", "4.png")
    assert (bad_one.top1, bad_one.top5) == (share(1, 4), share(1, 4))
    # The loss is of the images that have one.
    assert bad_one.loss == good_one.loss
    assert found.answers["bad"].top5[1].tolist() == [NO_ANSWER] * 5
    assert np.isnan(found.answers["bad"].probability[1:]).all()
    # No answer differs from an answer, and not from no answer.
    assert found.disputed == (1, 2, 3, 4)
    assert [(pair.differing, pair.only_first) for pair in found.pairs] == [(4, 3), (4, 3), (0, 0)]
    assert all(math.isinf(pair.largest_difference) for pair in found.pairs)


def test_no_finite_logits_have_no_loss() -> None:
    (found,) = measured([1, 2], torch=np.full((2, CLASSES), np.nan, np.float32)).runtimes
    assert (found.loss, found.top1) == (None, share(0, 2))


def test_large_logits_do_not_overflow() -> None:
    values = np.array([[3e38, -3e38, 0, 1], [1000, 1001, 0, 0]], np.float32)
    said = answers(values, np.array([1, 1], np.int32))
    assert said.loss[0] == float(values[0, 0]) - float(values[0, 1])
    assert said.loss[1] == pytest.approx(math.log1p(math.exp(-1)), rel=FLOAT64.limit)


def test_images_without_labels_are_compared_all_the_same() -> None:
    found = measured([None] * 40, torch=logits(1), keras=logits(2))
    for runtime in found.runtimes:
        assert (runtime.top1, runtime.top5, runtime.loss, runtime.classes) == (None, None, None, ())
        assert runtime.images == 40
    (pair,) = found.pairs
    assert (pair.only_first, pair.only_second, pair.p) == (0, 0, 1.0)
    assert pair.differing == len(found.disputed) > 0


def test_few_classes_have_fewer_than_five_answers() -> None:
    found = measure({"torch": in_blocks(logits(1, 6, 3))}, [0, 1, 2] * 2, ["a"] * 6, NAMES[:3])
    assert found.answers["torch"].top5.shape == (6, 3)
    assert found.runtimes[0].top5 == share(6, 6)


def test_nothing_to_measure_is_no_error() -> None:
    assert measure({}, [1], ["a"], NAMES).runtimes == ()
    (found,) = measure({"torch": []}, [], [], NAMES).runtimes
    assert (found.images, found.top1) == (0, None)


@pytest.mark.parametrize(
    ("labels", "blocks", "problem"),
    [
        ([1, 2, 3], {"torch": [np.zeros((2, CLASSES))]}, "logits of 2 images for 3"),
        ([1], {"torch": [np.zeros((1, 5))]}, r"torch: logits of \(5,\), not 12"),
        ([CLASSES], {"torch": [np.zeros((1, CLASSES))]}, "a label is not one of 12 classes"),
        ([-2], {"torch": [np.zeros((1, CLASSES))]}, "a label is not one of 12 classes"),
        (
            [1, 1],
            {"torch": [np.zeros((2, CLASSES))], "keras": [np.zeros((1, CLASSES))]},
            "keras: fewer logits than the other runtimes have",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    labels: list[int], blocks: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        measure(blocks, labels, ["a"] * len(labels), NAMES)


# Wilson's interval, as published with four decimals: R. G. Newcombe, Two-sided confidence intervals
# for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
PUBLISHED = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("count", "of", "low", "high"), PUBLISHED)
def test_intervals_are_those_in_print(count: int, of: int, low: float, high: float) -> None:
    found = share(count, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=WILSON_DIGITS.limit)


@pytest.mark.parametrize("of", [1, 5, 300, 50_000])
def test_an_interval_ends_where_the_score_test_does(of: int) -> None:
    z = library.NormalDist().inv_cdf(0.975)
    for count in {0, 1, of // 3, of - 1, of}:
        found = share(count, of)
        assert 0 <= found.low <= count / of <= found.high <= 1
        # The definition: at each end the observed share lies 1.96 standard errors away.
        for end in (found.low, found.high):
            away = abs(count / of - end)
            assert away == pytest.approx(
                z * math.sqrt(end * (1 - end) / of), abs=FLOAT64.limit, rel=FLOAT64.limit
            )
        other = share(of - count, of)
        assert (1 - other.high, 1 - other.low) == pytest.approx(
            (found.low, found.high), abs=FLOAT64.limit
        )
    # z² / (n + z²) is the other end where none or all are right.
    assert share(0, of).low == 0.0
    assert share(of, of).high == 1.0
    assert share(0, of).high == pytest.approx(z * z / (of + z * z), rel=FLOAT64.limit)


def test_no_images_leave_everything_open() -> None:
    found = share(0, 0)
    assert (found.low, found.high, found.value) == (0.0, 1.0, 0.0)


def test_p_is_the_sum_of_binomial_probabilities() -> None:
    for total in (*range(40), 333, 1000):
        for least in {0, 1, total // 4, total // 2, total}:
            if least > total:
                continue
            tail = sum(math.comb(total, k) for k in range(min(least, total - least) + 1))
            expected = min(Fraction(1), Fraction(2 * tail, 2**total))
            found = mcnemar(least, total - least)
            assert found == pytest.approx(float(expected), rel=EXACT_P.limit)
            assert found == mcnemar(total - least, least)


def test_p_of_very_many_differing_answers_neither_overflows_nor_takes_long() -> None:
    assert mcnemar(25_000, 25_000) == 1.0
    assert mcnemar(0, 50_000) == 0.0
    # The exact sum, as integers: close to, and beside, the middle.
    for least in (24_700, 24_990):
        ways = tail = math.comb(50_000, least)
        for smaller in range(least, 0, -1):
            ways = ways * smaller // (50_000 - smaller + 1)
            tail += ways
        expected = 2 * tail / 2**50_000
        assert mcnemar(least, 50_000 - least) == pytest.approx(expected, rel=EXACT_P.limit)
    assert 0 < mcnemar(4_990_000, 5_010_000) < 1


def test_p_of_a_published_example() -> None:
    # A. Agresti, Categorical Data Analysis, the approval ratings of the chapter on matched pairs:
    # 86 and 150 changed their minds. By symmetry, the upper tail is as large as the lower one.
    upper = sum(math.comb(236, k) for k in range(150, 237))
    assert mcnemar(86, 150) == pytest.approx(float(Fraction(2 * upper, 2**236)), rel=EXACT_P.limit)
