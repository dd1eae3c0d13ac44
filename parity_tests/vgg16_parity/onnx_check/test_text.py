"""A check's report is a few lines, however much is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from onnx_arbiter.limits import LIMITS
from parity_tests.support.pages.reports import INFINITE, verdict
from vgg16_parity.onnx_check.accuracy import Accuracy
from vgg16_parity.onnx_check.check import DOES_NOT_RUN, CheckReport, Graph, Numbers
from vgg16_parity.onnx_check.text import lines
from vgg16_parity.onnx_check.weights import NOT_REACHED, OTHER_SHAPE, Weight
from vgg16_spec.architecture import configuration

TINY = list(configuration("tiny").weight_shapes)
NUMBERS = Numbers(replace(verdict(0.123, 4.56), ratio_limit=1.25), "", passed=True)
ERRORS = (
    "numbers: errors are 0.12 times the predicted size, the largest 4.6 standard deviations "
    f"(limits 1.25 and {LIMITS.deviations.limit:g})"
)


def report(
    problems: Sequence[str] = (), wrong: Sequence[str] = (), numbers: Numbers = NUMBERS, **more: Any
) -> CheckReport:
    """The problems of the first tensors in order; the others are equal."""
    weights = tuple(
        Weight(name, f"file's {name}", wrong[place] if place < len(wrong) else "")
        for place, name in enumerate(TINY)
    )
    facts: dict[str, Any] = {
        "matches": not problems and not wrong and numbers.passed,
        "file": "model.onnx",
        "checkpoint": "weights.pth",
        "configuration": "tiny",
        "images": ("one.png",),
        "graph": Graph("nchw", "float32", "logits", tuple(problems), not problems),
        "weights": weights,
        "numbers": numbers,
    }
    return CheckReport(**facts | more)


def said(*arguments: Any, **options: Any) -> list[str]:
    return list(lines(report(*arguments, **options)))


def test_a_file_that_matches_has_a_line_for_each_stage() -> None:
    assert said() == [
        "graph: as the checkpoint's network (NCHW, logits)",
        "weights: 32 of 32 equal",
        ERRORS,
        "model.onnx matches weights.pth.",
    ]
    assert list(lines(report(), "mine"))[-1] == "model.onnx matches mine."


@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        ("float32", ""),
        ("pixels", ", preprocessing inside"),
        ("pictures", ", preprocessing, resize inside"),
    ],
)
def test_what_a_graph_does_besides_is_told(kind: str, inside: str) -> None:
    graph = Graph("nhwc", kind, "probabilities", (), passed=True)
    words = f"graph: as the checkpoint's network (NHWC, probabilities{inside})"
    assert said(graph=graph)[0] == words


def test_of_many_problems_the_first_three_are_told() -> None:
    for count in (1, 4):
        found = said([f"p{number}" for number in range(count)])
        assert found[:-3] == [f"graph: p{number}" for number in range(count)]
        assert found[-1] == "model.onnx does not match weights.pth."
    found = said([f"p{number}" for number in range(6)])
    assert found[:4] == [
        *(f"graph: p{number}" for number in range(3)),
        "graph: 3 more problems, which --json lists",
    ]


def test_a_long_line_is_cut() -> None:
    for length, shown in ((293, "a" * 293), (294, "a" * 292 + "…")):
        assert said(["a" * length])[0] == f"graph: {shown}"


def test_each_tensor_is_told_or_of_many_with_one_problem_the_first_three() -> None:
    values = [f"{n},000 of 9,000 values differ, by up to {n}.0e-0{9 - n}" for n in range(1, 6)]
    for count in (1, 4):
        assert said(wrong=["odd"] * count)[1:-2] == [
            f"weights: {32 - count} of 32 equal",
            *(f"weights: {name} (file's {name}): odd" for name in TINY[:count]),
        ]
        assert said(wrong=values[:count])[2:-2] == [
            f"weights: {name} (file's {name}): {problem}"
            for name, problem in zip(TINY, values[:count], strict=False)
        ]
    names = ", ".join(TINY[:3])
    assert said(wrong=["odd"] * 5)[2:-2] == [f"weights: {names} and 2 more: odd"]
    told = f"weights: {names} and 2 more: other values, by up to 5.0e-04"
    assert said(wrong=values)[2:-2] == [told]
    assert said(wrong=[*values, "even"])[2:-2] == [
        told,
        f"weights: {TINY[5]} (file's {TINY[5]}): even",
    ]
    absent = report(wrong=["is not in the graph"])
    weights = (replace(absent.weights[0], initializer=""), *absent.weights[1:])
    found = list(lines(replace(absent, weights=weights)))
    assert found[2] == f"weights: {TINY[0]}: is not in the graph"


def test_tensors_that_were_not_reached_are_counted() -> None:
    assert said(["odd"], [NOT_REACHED] * 30 + ["even"])[1:-2] == [
        "weights: 1 of 32 equal",
        "weights: 30 not compared, behind what the graph has there",
        f"weights: {TINY[30]} (file's {TINY[30]}): even",
    ]


def of_shapes(name: str, count: int) -> list[str]:
    shapes = list(configuration(name).weight_shapes.values())
    words = "in canonical layout, expected (1,)"
    return [f"{OTHER_SHAPE} {shape} {words}" for shape in shapes[:count]]


def test_many_other_shapes_are_one_line_that_names_their_configuration() -> None:
    problems = of_shapes("A", 5)
    first = "weights: 5 of 32 have other shapes"
    told = f"{first}: the graph is configuration A, the checkpoint tiny"
    assert said(wrong=[*problems, "odd"])[1:-2] == [
        "weights: 26 of 32 equal",
        told,
        f"weights: {TINY[5]} (file's {TINY[5]}): odd",
    ]
    mixed = [*problems[:4], f"{OTHER_SHAPE} (9, 9) in canonical layout"]
    assert said(wrong=mixed)[2:-2] == [
        f"{first}, which --json lists; {TINY[0]} {problems[0]}",
    ]
    few = of_shapes("A", 4)
    assert said(wrong=few)[2:-2] == [
        f"weights: {name} (file's {name}): {problem}"
        for name, problem in zip(TINY, few, strict=False)
    ]


def test_numbers_are_told_or_why_there_are_none() -> None:
    for of in (None, INFINITE):
        numbers = Numbers(of, "odd outputs", passed=False)
        assert said(numbers=numbers)[2:] == [
            "numbers: odd outputs",
            "model.onnx does not match weights.pth.",
        ]
    mistaken = replace(NUMBERS, mistake="classes exchanged", passed=False)
    assert said(numbers=mistaken)[2:4] == [ERRORS, "numbers: classes exchanged"]
    cost = Accuracy("int8", 31.25, 1, 2)
    assert said(accuracy=cost)[3].startswith("quantised to int8: SQNR 31.2 dB, top-1 agrees on 1")


def test_a_file_that_is_right_but_does_not_run_is_told_so() -> None:
    numbers = Numbers(None, f"{DOES_NOT_RUN} (odd)", passed=False)
    verdict_words = "has the network and the weights, but does not run: it does not match"
    assert said(numbers=numbers)[-1] == f"model.onnx {verdict_words} weights.pth."
    for problems, wrong in ((["odd"], []), ([], ["odd"])):
        assert said(problems, wrong, numbers)[-1] == "model.onnx does not match weights.pth."
    assert said(numbers=Numbers(None, "odd", passed=False))[-1].endswith(
        "does not match weights.pth."
    )
