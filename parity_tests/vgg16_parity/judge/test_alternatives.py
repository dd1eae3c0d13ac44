"""A case that does not hold is judged again as its own values, or another case's, suggest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.pages.reports import verdict
from vgg16_parity.judge import alternatives
from vgg16_parity.judge.alternatives import judge_again, judge_cases
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.runtimes.job import Job
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
from vgg16_spec.checkpoint import Checkpoint

FLOAT32: Final = MODES["float32"]
FIRST, SECOND, THIRD = (Arithmetic(algorithms={"block1_conv1": each}) for each in WINOGRAD[:3])
NAMES: Final = {id(FIRST): "first", id(SECOND): "second"}

# What fails of a case: taps, and layers that were run alone.
Failures = frozenset[str]
TAP, ALONE, LOGITS = "hidden", "hidden alone", "logits"
NONE: Final[Failures] = frozenset()
BOTH: Final = frozenset({TAP, LOGITS})


def failing(failures: Failures, *notes: str) -> CaseVerdict:
    reasons = [["", "off"][name in failures] for name in (TAP, ALONE, LOGITS)]
    tap, alone, logits = (verdict(reason=reason) for reason in reasons)
    layers = LayerVerdict(TAP, tap, alone), LayerVerdict(LOGITS, logits)
    return CaseVerdict("case", layers, (), notes=notes)


@pytest.mark.parametrize(
    ("shown", "suggested", "expected"),
    [
        # What fails; whether each suggestion passes, and what fails under it; what then fails, by
        # which suggestion, and whose note is added.
        (BOTH, [], (BOTH, PLAIN, ())),
        (BOTH, [(True, NONE)], (NONE, FIRST, ("first",))),
        (BOTH, [(False, NONE)], (BOTH, PLAIN, ("first",))),
        (BOTH, [(True, NONE), (True, NONE)], (NONE, FIRST, ("first",))),
        (BOTH, [(True, frozenset({TAP})), (True, NONE)], (NONE, SECOND, ("second",))),
        (BOTH, [(True, frozenset({TAP})), (False, NONE)], (BOTH, PLAIN, ("second",))),
        (BOTH, [(True, frozenset({TAP}))], (frozenset({TAP}), FIRST, ("first",))),
        (BOTH, [(False, frozenset({TAP}))], (BOTH, PLAIN, ())),
        (BOTH, [(True, BOTH)], (BOTH, PLAIN, ())),
        (BOTH, [(True, frozenset({ALONE}))], (BOTH, PLAIN, ())),
        (
            BOTH | {ALONE},
            [(True, frozenset({TAP, ALONE})), (True, frozenset({ALONE}))],
            (frozenset({ALONE}), SECOND, ("second",)),
        ),
        (
            BOTH,
            [(True, frozenset({TAP})), (True, frozenset({LOGITS}))],
            (frozenset({TAP}), FIRST, ("first",)),
        ),
        (NONE, [(True, NONE)], (NONE, PLAIN, ())),
    ],
)
def test_the_first_that_explains_everything_is_taken_else_the_nearest(
    tiny: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    shown: Failures,
    suggested: Sequence[tuple[bool, Failures]],
    expected: tuple[Failures, Arithmetic, tuple[str, ...]],
) -> None:
    ways = dict(zip(("first", "second"), suggested, strict=False))

    def find(_: Evidence) -> Iterator[Suggestion]:
        for arithmetic, (name, (passes, _failures)) in zip(
            (FIRST, SECOND), ways.items(), strict=False
        ):
            yield Suggestion(arithmetic, name, passes)

    def judged(_: Evidence, arithmetic: Arithmetic, __: object) -> CaseVerdict:
        return failing(ways[NAMES[id(arithmetic)]][1], "own")

    monkeypatch.setattr(alternatives, "FINDERS", (find,))
    monkeypatch.setattr(Evidence, "_judge_as", judged)
    before = failing(shown, "own")
    evidence = Evidence(tiny, cast("ArbiterCase", None), FLOAT32, {}, {}, before)
    failures, arithmetic, notes = expected
    assert judge_again(evidence) == (failing(failures, *notes, "own"), arithmetic)


HIDDEN: Final = np.array([[1.0, -1.0, 2.0]])
VALUES: Final = np.array([[9.0, 8.0, 7.0]])
RIGHT: Final = {TAP: np.maximum(HIDDEN, 0), LOGITS: VALUES}
WRONG: Final = RIGHT | {LOGITS: VALUES + 0.5}
Taps = Mapping[str, NDArray[Any]]
Judge = Callable[[Mapping[str, Taps], str], tuple[tuple[CaseVerdict, ...], dict[str, Arithmetic]]]


@pytest.fixture
def judge(tiny: Checkpoint, tmp_path: Path) -> Judge:
    """Judge cases, by name -> what a runtime computed; some names stand for special inputs."""

    def expectation(name: str) -> ArbiterCase:
        sizes = {"float32": np.full((1, 3), 0.01, np.float32)}
        scale = {"beyond": 1e39, "NaN": np.nan}.get(name, 1)
        predictions = (
            Prediction(TAP, HIDDEN * scale, True, sizes, sizes, HIDDEN.astype(np.float32)),
            Prediction(LOGITS, VALUES, False, sizes, sizes),
        )
        images = np.full((1, 3, 4, 4), np.nan if name == "NaN" else 1, np.float32)
        return write_case(Case(name, images, ("image",)), predictions, tmp_path / name)

    def judged(
        computed: Mapping[str, Taps], port: str
    ) -> tuple[tuple[CaseVerdict, ...], dict[str, Arithmetic]]:
        def result(folder: str, kind: str) -> Taps:
            return computed[Path(folder).name] if kind == "accumulated" else {}

        job = SimpleNamespace(runtime=SimpleNamespace(port=port), result=result)
        expectations = [expectation(name) for name in computed]
        return judge_cases(tiny, expectations, FLOAT32, cast("Job", job))

    return judged


def test_what_explains_one_case_is_tried_on_those_that_nothing_explains(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained = {("photographs", "first"), ("noise", "second"), ("pixel", "second")}
    asked = list[tuple[str, str]]()

    def find(evidence: Evidence) -> Iterator[Suggestion]:
        finds = {"photographs": FIRST, "noise": SECOND, "colour": THIRD}
        if (name := evidence.expectation.case.name) in finds:
            yield Suggestion(finds[name], "found")

    def judged(evidence: Evidence, arithmetic: Arithmetic, _: object) -> CaseVerdict:
        (algorithm,) = arithmetic.algorithms.values()
        way = (
            evidence.expectation.case.name,
            ("first", "second", "third")[WINOGRAD.index(algorithm)],
        )
        asked.append(way)
        taps = RIGHT if way in explained else {**evidence.taps, TAP: RIGHT[TAP]}
        return judge_case(evidence.expectation, evidence.mode, taps, {})

    monkeypatch.setattr(alternatives, "FINDERS", (find,))
    monkeypatch.setattr(Evidence, "_judge_as", judged)
    everything_off = {TAP: RIGHT[TAP] + 0.5, LOGITS: VALUES + 0.5}
    cases = {
        "pixel": WRONG,
        "constant": everything_off,
        "photographs": WRONG,
        "right": RIGHT,
        "noise": WRONG,
        "colour": everything_off,
        "beyond": RIGHT,
        "NaN": RIGHT,
    }
    verdicts, assumed = judge(cases, "")
    assert [each.case for each in verdicts] == list(cases)
    holding = {each.case for each in verdicts if each.holds}
    assert holding == {"pixel", "photographs", "right", "noise", "NaN"}
    notes = {each.case: each.notes for each in verdicts if each.notes}
    assert notes == {
        "pixel": (f"block1_conv1: as by {WINOGRAD[1].name}",),
        "photographs": ("found",),
        "noise": ("found",),
        "colour": ("found",),
        "NaN": ("image: disappears at hidden",),
    }
    assert {name: dict(found.algorithms) for name, found in assumed.items()} == {
        "pixel": SECOND.algorithms,
        "photographs": FIRST.algorithms,
        "noise": SECOND.algorithms,
        "colour": THIRD.algorithms,
    }
    # Neither what holds nor what has no values is judged again. A case that another's arithmetic
    # explains in part stays as it was, and what explains a case in part is no other's.
    assert asked == [
        ("photographs", "first"),
        ("noise", "second"),
        ("colour", "third"),
        ("pixel", "first"),
        ("pixel", "second"),
        ("constant", "first"),
        ("constant", "second"),
        ("colour", "first"),
        ("colour", "second"),
    ]
    constant = verdicts[list(cases).index("constant")]
    assert [layer.accumulated.passed for layer in constant.layers] == [False, False]


def test_where_nothing_explains_a_case_none_is_judged_again(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alternatives, "FINDERS", ())
    verdicts, assumed = judge({"pixel": WRONG, "right": RIGHT}, "")
    assert [each.holds for each in verdicts] == [False, True]
    assert assumed == {}


def test_only_a_port_may_lack_taps(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternatives, "FINDERS", ())
    for port, holds in (("port.py", True), ("", False)):
        ((found,), _) = judge({f"port {holds}": {LOGITS: VALUES}}, port)
        assert found.holds is holds
