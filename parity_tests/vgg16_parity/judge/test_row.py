"""A row names what is wrong first, over everything that was found about a run."""

from __future__ import annotations

from typing import Any

import pytest

from onnx_arbiter.compare import Verdict, refused
from vgg16_parity.judge.row import Finding, conclude, wrong_gradient
from vgg16_parity.records import Row
from vgg16_parity.runtimes.job import Record
from vgg16_parity.verdicts import (
    BesideCpu,
    CaseVerdict,
    GradientVerdict,
    LayerVerdict,
    ProbeVerdict,
)

RIGHT = Verdict(True, 0.5, 2.0, 1e-6, 1e-7, 1e-7)
WRONG = refused("too far")
RECORD = Record(seconds={"run": 1.0}, peak_bytes=5)


def row(finding: Finding | None = None, *, cpu_holds: bool = True, **parts: Any) -> Row:
    made = Row("torch", "strict", "float32", "holds", device="cuda", record=RECORD, **parts)
    return conclude(made, finding, cpu_holds=cpu_holds)


def case(name: str, *layers: tuple[str, Verdict, Verdict | None], reason: str = "") -> CaseVerdict:
    verdicts = tuple(LayerVerdict(tap=t, accumulated=a, local=local) for t, a, local in layers)
    return CaseVerdict(case=name, layers=verdicts, decisions=(), reason=reason)


def cpu(*layers: tuple[str, Verdict, Verdict | None]) -> tuple[BesideCpu, ...]:
    return (BesideCpu(case="pictures", layers=case("", *layers).layers),)


HOLDS = case("pictures", ("conv", RIGHT, RIGHT), ("fc", RIGHT, RIGHT))
DIFFERS = cpu(("conv", WRONG, RIGHT), ("fc", WRONG, WRONG))
GIVEN = "given the arbiter's input"


@pytest.mark.parametrize(
    ("cases", "first_wrong", "reason"),
    [
        ((HOLDS,), "", ""),
        # A layer that is wrong locally, although a tap before it is wrong too.
        (
            (case("a", ("conv", WRONG, RIGHT), ("fc", WRONG, WRONG)),),
            "fc",
            f"fc, {GIVEN}: a: too far",
        ),
        (
            (case("a", ("conv", RIGHT, RIGHT), ("fc", WRONG, RIGHT)),),
            "fc",
            f"from fc on: a: too far, though every layer is right {GIVEN}",
        ),
        ((case("a", ("conv", WRONG, None)),), "conv", "from conv on: a: too far"),
        # The first layer of any case, not the first case.
        (
            (
                case("a", ("conv", RIGHT, None), ("fc", WRONG, None)),
                case("b", ("conv", WRONG, None)),
            ),
            "conv",
            "from conv on: b: too far",
        ),
        (
            (HOLDS, case("a", reason="nothing was compared"), case("b", reason="no")),
            "",
            "a: nothing was compared; b: no",
        ),
    ],
)
def test_the_first_wrong_layer_is_named(
    cases: tuple[CaseVerdict, ...], first_wrong: str, reason: str
) -> None:
    made = row(cases=cases)
    assert (made.first_wrong, made.reason) == (first_wrong, reason)
    assert made.status == ("broken" if reason else "holds")
    assert (made.cases, made.record, made.device) == (cases, RECORD, "cuda")


def test_a_layer_wrong_on_a_dense_input_is_named_before_what_taps_show() -> None:
    probes = (ProbeVerdict("conv", RIGHT), ProbeVerdict("fc", WRONG))
    dense = ("fc, given a dense input: too far", "fc")
    for verdicts, expected in (
        (HOLDS, dense),
        (case("a", ("conv", WRONG, RIGHT), ("fc", WRONG, RIGHT)), dense),
        (case("a", ("conv", WRONG, WRONG)), (f"conv, {GIVEN}: a: too far", "conv")),
    ):
        made = row(cases=(verdicts,), probes=probes)
        assert (made.status, made.reason, made.first_wrong) == ("broken", *expected)
    assert row(cases=(HOLDS,), probes=probes[:1]).status == "holds"


def test_what_was_found_first_is_the_reason() -> None:
    broken = case("a", ("conv", WRONG, WRONG))
    gradients = (GradientVerdict(tensor="fc.bias", gradient=WRONG),)
    failed, wrong = Finding("gradients: killed", status="failed"), wrong_gradient(gradients)
    for made, expected in (
        (row(finding=Finding("no GPU", status="not run")), ("not run", "no GPU", "")),
        (row(cases=(broken,), finding=failed), ("broken", f"conv, {GIVEN}: a: too far", "conv")),
        # A worker that died fails a run that held so far.
        (row(cases=(HOLDS,), finding=failed), ("failed", "gradients: killed", "")),
        (
            row(cases=(HOLDS,), gradients=gradients, finding=wrong, beside_cpu=DIFFERS),
            ("broken", "the gradient of fc.bias: too far", "fc.bias"),
        ),
        (
            row(cases=(HOLDS,), beside_cpu=DIFFERS),
            ("broken", "fc beside the CPU's: pictures: too far", "fc"),
        ),
        (row(cases=(HOLDS,), beside_cpu=DIFFERS, cpu_holds=False), ("holds", "", "")),
    ):
        assert (made.status, made.reason, made.first_wrong) == expected
        assert made.gradients == (gradients if "fc.bias" in made.first_wrong else ())
        assert made.beside_cpu in ((), DIFFERS)


@pytest.mark.parametrize("wrong", ["gradient", "velocity", "parameter"])
def test_a_wrong_gradient_comes_before_a_wrong_step(wrong: str) -> None:
    right = {"gradient": RIGHT, "parameter": RIGHT, "velocity": RIGHT}
    stepped = GradientVerdict(tensor="fc.bias", gradient=RIGHT, parameter=WRONG, velocity=RIGHT)
    last = GradientVerdict(tensor="conv.bias", **right | {wrong: WRONG})
    found = wrong_gradient((stepped, last))
    assert found is not None
    assert found.first_wrong == ("conv.bias" if wrong == "gradient" else "fc.bias")
    assert wrong_gradient((GradientVerdict(tensor="fc.bias", **right),)) is None
