"""The tables and lines of an evaluation say what was found, in short and plain words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from parity_tests.support.pages.evaluations import evaluation, everything
from vgg16_parity.evaluate.records import Answer, Cause, Dispute, Evaluation, RuntimeAccuracy
from vgg16_parity.evaluate.report import table
from vgg16_parity.evaluate.statistics import share


def with_causes(*causes: Cause) -> Evaluation:
    """Two runtimes and one dispute, whose second answer is of each cause."""
    disputes = tuple(
        Dispute(
            f"{cause}.png",
            1,
            (0, 1, 2, 3, 4),
            (
                Answer("torch", (0, 1, 2, 3, 4), "inside"),
                Answer("keras-jax", (1, 0, 2, 3, 4), cause, 0.5, 0.25),
            ),
        )
        for cause in causes
    )
    return replace(evaluation(), runtimes=evaluation().runtimes[:2], disputes=disputes)


@pytest.mark.parametrize(
    ("causes", "said", "holds"),
    [
        (("inside",), "disagree on 1 of 120 images, always within rounding; top-1 60.0 %", True),
        (("inside", "quantised"), "2 of 120 images, by rounding or by quantised weights", True),
        (("inside", "not judged"), "for reasons that were not judged", True),
        (("inside", "mistake"), "; rounding does not explain 1 answer of keras-jax;", False),
        (("mistake", "mistake"), "; rounding does not explain 2 answers of keras-jax;", False),
    ],
)
def test_the_summary_tells_why_answers_changed(
    causes: tuple[Cause, ...], said: str, holds: bool
) -> None:
    made = with_causes(*causes)
    assert table.summary(made).startswith("2 runtimes disagree on")
    assert said in table.summary(made)
    assert table.holds(made) == holds


def test_runtimes_that_agree_are_one_sentence() -> None:
    made = with_causes()
    assert table.summary(made) == (
        "2 runtimes give the same answer to each of 120 images: top-1 60.0 % to 62.5 %, "
        "top-5 84.2 %."
    )
    assert table.holds(made)
    none = replace(made, runtimes=tuple(replace(r, top1=None, top5=None) for r in made.runtimes))
    assert table.summary(none) == "2 runtimes give the same answer to each of 120 images."


def test_one_runtime_is_its_accuracy() -> None:
    made = replace(with_causes(), runtimes=evaluation().runtimes[:1])
    assert table.summary(made) == "torch on 120 images: top-1 60.0 %, top-5 84.2 %."


def test_a_runtime_that_failed_is_in_the_summary_and_does_not_hold() -> None:
    failed = RuntimeAccuracy("openvino", "failed", "killed by signal 9")
    made = with_causes("inside")
    made = replace(made, runtimes=(*made.runtimes, failed))
    assert table.summary(made).endswith(" openvino failed.")
    assert not table.holds(made)


def test_nothing_measured_does_not_hold() -> None:
    made = replace(with_causes(), runtimes=(RuntimeAccuracy("jax", "not run", "no jax"),))
    assert table.summary(made) == "Nothing was measured: no runtime could run."
    assert not table.holds(made)


def test_a_row_has_every_figure_and_one_that_did_not_run_has_none() -> None:
    cells = table.table(everything())
    assert len({len(row) for row in cells} | {len(table.COLUMNS)}) == 1
    assert cells[0] == (
        "torch", "measured", "57.2 %", "52.4–62.0", "81.5 %", "77.4–85.0", "1.4289", "400", "5.9",
        "1.9",
    )  # fmt: skip
    assert cells[3] == ("keras-tensorflow", "not run", *[""] * 8)
    assert cells[4] == ("openvino", "failed", *[""] * 8)


def test_figures_have_as_many_decimals_as_the_images_can_tell_apart() -> None:
    assert table.percent(share(1, 3)) == "33.3 %"
    assert table.percent(share(35796, 50000)) == "71.59 %"
    assert table.interval(share(35796, 50000)) == "71.20–71.99"
    assert table.percent(None) == table.interval(None) == ""


def test_pairs_without_labels_have_no_p() -> None:
    made = evaluation()
    assert table.pair_table(made)[0] == ("torch", "keras-jax", "3", "0", "3", "0.25", "4.8e-07")
    first = table.pair_table(replace(made, labelled=0))[0]
    assert first == ("torch", "keras-jax", "3", "", "", "", "4.8e-07")


def test_remarks_name_what_has_no_figures() -> None:
    lines = table.remarks(everything())
    assert lines[:3] == [
        "keras-tensorflow not run: tensorflow is not installed",
        "openvino failed: the worker was killed by signal 9",
        "onnx-int8: 1 image with logits that are not finite, which count as wrong and have no part "
        "in the loss: tench/00003.JPEG",
    ]
    assert "1 image left out as unreadable: tench/empty.JPEG (it has 0 bytes)" in lines
    assert (
        "1 image left out as copies of others: tench/copy.JPEG (the bytes of tench/00001.JPEG)"
    ) in lines
    assert "do not expect the same figures" in lines[-1]
    assert "20 images without a label: compared, not counted as right" in table.remarks(
        evaluation(labelled=100)
    )


def test_many_names_are_three_and_a_count() -> None:
    made = evaluation()
    lost = replace(made.runtimes[0], not_finite=tuple("abcdefg"))
    (line, *_) = table.remarks(replace(made, runtimes=(lost,)))
    assert line.endswith(": a; b; c; and 4 more")


def test_disputes_are_lines_and_the_others_are_counted() -> None:
    made = everything()
    lines = table.disputes(made)
    assert len(lines) == 11
    assert lines[-1] == f"and {len(made.disputes) - 10} more, which evaluation.json has"
    assert lines[1] == (
        "stingray/00047.JPEG: label stingray; torch, onnx-int8: cock (the arbiter's answer); "
        "keras-jax: stingray (more than rounding explains; first wrong layer: block3_conv2, "
        "margin 58 σ)"
    )
    assert table.disputes(with_causes("inside")) == [
        "inside.png: label goldfish; torch: tench (the arbiter's answer); keras-jax: goldfish "
        "(within rounding, margin 2.00 σ)"
    ]


def test_runtimes_of_one_answer_and_cause_are_together() -> None:
    best = (0, 1, 2, 3, 4)
    answers = (
        Answer("a", best, "inside"),
        Answer("b", (1, 0), "inside", 0.5, 0.25),
        Answer("c", best, "inside"),
        Answer("d", (1, 2), "mistake", 0.5, 0.01, "fc1"),
        Answer("e", (1, 0), "inside", 0.5, 0.125),
    )
    found = table.grouped(Dispute("x", None, best, answers))
    assert [names for _, names in found] == [["a", "c"], ["b"], ["d"], ["e"]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("a", (0, 1), "inside"), "the arbiter's answer"),
        (Answer("a", (1, 0), "inside", 1, 1), "within rounding"),
        (
            Answer("a", (1, 0), "mistake", 1, 1, "fc1"),
            "more than rounding explains; first wrong layer: fc1",
        ),
        (
            Answer("a", (), "mistake", math.inf),
            "logits that are not finite; first wrong layer: none found",
        ),
        (
            Answer("a", (1, 0), "quantised"),
            "quantised weights, which the error model does not cover",
        ),
        (Answer("a", (1, 0), "not judged"), "not judged"),
    ],
)
def test_a_cause_is_said_in_words(answer: Answer, words: str) -> None:
    assert table.cause(answer, (0, 1)) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00 σ"), (0.774, "0.77 σ"), (57.7, "58 σ"), (12345.6, "12,346 σ"), (2e6, "2.0e+06 σ"),
     (math.inf, "∞ σ")],
)  # fmt: skip
def test_margins_are_short(value: float, text: str) -> None:
    assert table.deviations(value) == text


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1.00"), (0.0312, "0.03"), (0.0021, "2e-03"), (0.0, "0")]
)
def test_p_is_short(p: float, text: str) -> None:
    assert table.p_value(p) == text


def test_published_figures_stand_above_what_was_measured() -> None:
    rows = table.published_table(everything())
    assert [row[0] for row in rows] == [
        "torchvision, VGG16_Weights.IMAGENET1K_V1", "torch, here", "keras-jax, here",
        "onnx-int8, here",
    ]  # fmt: skip
    assert rows[0][2:] == ("71.592 %", "90.382 %")
    assert rows[1][1:] == (
        "recipe torchvision; centre crop of 224 pixels", "57.2 %", "81.5 %",
    )  # fmt: skip
    assert table.published_table(evaluation()) == []


def test_pairs_that_differ_are_those_with_a_differing_answer() -> None:
    found = evaluation()
    rows = table.differing_pairs(found)
    differing = [(pair.first, pair.second) for pair in found.pairs if pair.differing]
    assert len(differing) > 0
    assert [row[:2] for row in rows] == differing
    same = replace(found, pairs=tuple(replace(pair, differing=0) for pair in found.pairs))
    assert table.differing_pairs(same) == []
