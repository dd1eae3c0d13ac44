"""From verdicts to what is wrong first, and to the row of the report, which is made here only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import BesideCpu, CaseVerdict, GradientVerdict, Row, Status
from vgg16_parity.runtimes.process import Record


@dataclass(frozen=True)
class Finding:
    """Why a run does not hold.

    Attributes:
        reason: the problem in plain English.
        first_wrong: the first wrong layer or tensor; empty if there is none.
        status: the status that the run gets.
    """

    reason: str
    first_wrong: str = ""
    status: Status = "broken"


def to_row(
    runtime: str,
    lane: str,
    mode: str,
    *,
    device: str = "",
    cases: Sequence[CaseVerdict] = (),
    record: Record | None = None,
    gradients: Sequence[GradientVerdict] = (),
    finding: Finding | None = None,
    beside_cpu: Sequence[BesideCpu] = (),
    cpu_holds: bool = True,
) -> Row:
    """The row of one run; its reason is what was found first.

    Args:
        runtime: the runtime's name.
        lane: the lane's name.
        mode: the numeric mode's name; empty if the device has no such lane.
        device: where it ran or was to run; empty if unknown.
        cases: one verdict per case; what they find comes first.
        record: the worker's record.
        gradients: one verdict per tensor.
        finding: why the run did not start or end, or what is wrong with its gradients.
        beside_cpu: the comparison with the same run on the CPU; what it finds comes last.
        cpu_holds: whether that run holds; if not, the GPU is not blamed for the difference.
    """
    found = (wrong_layer(cases), finding, wrong_on_gpu(beside_cpu) if cpu_holds else None)
    first = next((each for each in found if each is not None), Finding("", status="holds"))
    return Row(
        runtime=runtime,
        lane=lane,
        mode=mode,
        status=first.status,
        reason=first.reason,
        first_wrong=first.first_wrong,
        cases=tuple(cases),
        record=record,
        gradients=tuple(gradients),
        device=device,
        beside_cpu=tuple(beside_cpu),
    )


def wrong_layer(cases: Sequence[CaseVerdict]) -> Finding | None:
    """The first layer that is wrong locally; if none is, the first wrong tap."""
    if local := _first_failure(cases, "local"):
        tap, reason = local
        return Finding(f"{tap}, given the arbiter's input: {reason}", tap)
    if accumulated := _first_failure(cases, "accumulated"):
        tap, reason = accumulated
        compared = any(layer.local is not None for case in cases for layer in case.layers)
        right = ", though every layer is right given the arbiter's input" if compared else ""
        return Finding(f"from {tap} on: {reason}{right}", tap)
    reasons = [f"{case.case}: {case.reason}" for case in cases if case.reason]
    return Finding("; ".join(reasons)) if reasons else None


def wrong_on_gpu(cases: Sequence[BesideCpu]) -> Finding | None:
    """The first layer where the GPU differs too much from the CPU."""
    failure = _first_failure(cases, "local") or _first_failure(cases, "accumulated")
    return failure and Finding(f"{failure[0]} beside the CPU's: {failure[1]}", failure[0])


def wrong_gradient(verdicts: Sequence[GradientVerdict]) -> Finding | None:
    """The first wrong gradient, from the logits down; if none is wrong, the first wrong step."""
    for verdict in verdicts:
        if not verdict.gradient.passed:
            reason = f"the gradient of {verdict.tensor}: {verdict.gradient.reason}"
            return Finding(reason, verdict.tensor)
    for verdict in verdicts:
        for what, updated in (("velocity", verdict.velocity), ("value", verdict.parameter)):
            if updated is not None and not updated.passed:
                after = f"the {what} of {verdict.tensor} after a step of SGD"
                return Finding(f"{after}: {updated.reason}", verdict.tensor)
    return None


def _first_failure(
    cases: Sequence[CaseVerdict] | Sequence[BesideCpu], kind: str
) -> tuple[str, str] | None:
    """The first tap, in the network's order, that failed in any case; and why."""
    for tap in dict.fromkeys(layer.tap for case in cases for layer in case.layers):
        for case in cases:
            for layer in case.layers:
                verdict: Verdict | None = getattr(layer, kind)
                if layer.tap == tap and verdict is not None and not verdict.passed:
                    return tap, f"{case.case}: {verdict.reason}"
    return None
