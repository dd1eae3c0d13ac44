"""From verdicts to what is wrong first, and to a row's status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import Kind, Row, Status, iter_verdicts
from vgg16_parity.verdicts import GradientVerdict

# What to look for first, and what to call it.
_WRONG_GRADIENTS: Final = (
    {"gradient": "the gradient of {}"},
    {
        "velocity": "the velocity of {} after a step of SGD",
        "parameter": "the value of {} after a step of SGD",
    },
)


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


def conclude(row: Row, finding: Finding | None = None, *, cpu_holds: bool = True) -> Row:
    """The row with its status and its reason, which is what was found first.

    Wrong cases come first, then ``finding``: why the run did not start or end, or what is wrong
    with its gradients. A difference from the CPU comes last, and only if the same run holds there.
    """
    found = _wrong_layer(row) or finding or (_wrong_on_gpu(row) if cpu_holds else None)
    return replace(row, **vars(found or Finding("", status="holds")))


def _wrong_layer(row: Row) -> Finding | None:
    """The first layer that is wrong locally, on any input; if none is, the first wrong tap."""
    if failed := _first_failure(row, "local"):
        tap, reason = failed
        return Finding(f"{tap}, given the arbiter's input: {reason}", tap)
    for probe in row.probes:
        if not probe.local.passed:
            reason = f"{probe.layer}, given a dense input: {probe.local.reason}"
            return Finding(reason, probe.layer)
    if failed := _first_failure(row, "accumulated"):
        tap, reason = failed
        alone = any(iter_verdicts(row, "local"))
        right = ", though every layer is right given the arbiter's input" if alone else ""
        return Finding(f"from {tap} on: {reason}{right}", tap)
    reasons = [f"{case.case}: {case.reason}" for case in row.cases if case.reason]
    return Finding("; ".join(reasons)) if reasons else None


def _wrong_on_gpu(row: Row) -> Finding | None:
    """The first layer where the GPU differs too much from the CPU."""
    failed = _first_failure(row, "alone beside cpu") or _first_failure(row, "beside cpu")
    return failed and Finding(f"{failed[0]} beside the CPU's: {failed[1]}", failed[0])


def wrong_gradient(verdicts: Sequence[GradientVerdict]) -> Finding | None:
    """The first wrong gradient, from the logits down; if none is wrong, the first wrong step."""
    for wording in _WRONG_GRADIENTS:
        for compared in verdicts:
            for kind, what in wording.items():
                verdict: Verdict | None = getattr(compared, kind)
                if verdict is not None and not verdict.passed:
                    reason = f"{what.format(compared.tensor)}: {verdict.reason}"
                    return Finding(reason, compared.tensor)
    return None


def _first_failure(row: Row, kind: Kind) -> tuple[str, str] | None:
    """The first tap, in the network's order, that failed in any case; and why."""
    found = list(iter_verdicts(row, kind))
    order = list(dict.fromkeys(tap for _, tap, _ in found))
    failed = [each for each in found if not each[2].passed]
    if not failed:
        return None
    case, tap, verdict = min(failed, key=lambda each: order.index(each[1]))
    return tap, f"{case}: {verdict.reason}"
