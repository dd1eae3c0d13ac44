"""A runtime's results, read layer by layer from its files and compared with the arbiter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.expectations import ArbiterCase, ArbiterTap
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.decisions import decide
from vgg16_parity.records import CaseVerdict, Decision, LayerVerdict
from vgg16_parity.runtimes.process import Job

Taps = Mapping[str, NDArray[Any]]


def judge_cases(
    expectations: Sequence[ArbiterCase], mode: Mode, job: Job
) -> tuple[CaseVerdict, ...]:
    """Judge a worker's results of every case.

    Args:
        expectations: the arbiter's answers for each case, in the order of the job's cases.
        mode: the numeric mode that the runtime computed in.
        job: the job that left the results.
    """
    verdicts = []
    for expectation, folder in zip(expectations, job.cases, strict=True):
        taps, layers = job.result(folder, "accumulated"), job.result(folder, "local")
        if not expectation.case.finite:
            verdicts.append(judge_not_finite(expectation, taps))
            continue
        optional = bool(job.runtime.port)
        verdicts.append(judge_case(expectation, mode, taps, layers, taps_optional=optional))
    return tuple(verdicts)


def judge_case(
    expectation: ArbiterCase,
    mode: Mode,
    taps: Taps,
    layers: Taps,
    *,
    taps_optional: bool = False,
) -> CaseVerdict:
    """Judge a runtime's taps and, if there are any, its local layer outputs.

    Args:
        expectation: the arbiter's answers; its taps are judged in their order.
        mode: the numeric mode that the runtime computed in.
        taps: the runtime's taps by name.
        layers: each layer's output given the arbiter's input, by name; may be empty.
        taps_optional: whether taps other than the logits may be missing.
    """
    name = expectation.case.name
    if beyond := expectation.beyond(mode):
        message = f"{beyond}: not compared"
        if expectation.case.extreme:
            return CaseVerdict(case=name, layers=(), decisions=(), notes=(message,))
        return CaseVerdict(case=name, layers=(), decisions=(), reason=message)
    verdicts: list[LayerVerdict] = []
    for tap in expectation.relus:
        if taps_optional and tap not in taps:
            continue
        expected = expectation.tap(tap, mode)
        accumulated = _verdict(taps.get(tap), expected, expected.accumulated)
        local = _verdict(layers.get(tap), expected, expected.local) if layers else None
        verdicts.append(LayerVerdict(tap=tap, accumulated=accumulated, local=local))
    reasons = [] if verdicts else ["nothing was compared"]
    if unknown := [tap for tap in (*taps, *layers) if tap not in expectation.relus]:
        reasons.insert(0, f"no layer is called {', '.join(unknown)}")
    decisions: tuple[Decision, ...] = ()
    last = expectation.last
    if verdicts and verdicts[-1].tap == last and math.isfinite(verdicts[-1].accumulated.max_error):
        expected = expectation.tap(last, mode)
        decisions = decide(taps[last], expected.preactivation, expected.accumulated)
    flipped, inside = (_images(expectation, decisions, kind) for kind in ("flipped", "inside"))
    if flipped:
        reasons.append(f"top classes differ by more than rounding allows: {flipped}")
    note = f"top classes changed places within the allowed error: {inside}"
    return CaseVerdict(
        case=name,
        layers=tuple(verdicts),
        decisions=decisions,
        reason="; ".join(reasons),
        notes=(note,) if inside else (),
    )


def judge_not_finite(expectation: ArbiterCase, taps: Taps) -> CaseVerdict:
    """Judge the shapes of taps, and note where values that are not finite disappear.

    There is no error where the arbiter has no number. Frameworks differ here by design (in some,
    the maximum of NaN and a number is the number), so a value that disappears is noted and never
    fails the run.
    """
    arbiter = {tap: expectation.preactivation(tap) for tap in expectation.relus}
    wrong = [tap for tap in arbiter if tap in taps and taps[tap].shape != arbiter[tap].shape]
    wrong += [tap for tap in taps if tap not in arbiter]
    reason = f"no outputs of the network's shape: {', '.join(wrong)}" if wrong else ""
    notes = []
    for index, label in enumerate(() if wrong else expectation.case.labels):
        lost = [
            tap
            for tap in arbiter
            if tap in taps
            and not np.isfinite(arbiter[tap][index]).all()
            and np.isfinite(taps[tap][index]).all()
        ]
        if lost:
            end = ", the logits are finite" if lost[-1] == expectation.last else ""
            notes.append(f"{label}: disappears at {lost[0]}{end}")
    return CaseVerdict(
        case=expectation.case.name, layers=(), decisions=(), reason=reason, notes=tuple(notes)
    )


def _images(expectation: ArbiterCase, decisions: Sequence[Decision], outcome: str) -> str:
    """The labels of the images with an outcome."""
    labels = zip(expectation.case.labels, decisions, strict=True) if decisions else ()
    return ", ".join(label for label, decision in labels if decision.outcome == outcome)


def _verdict(
    observed: NDArray[Any] | None, expected: ArbiterTap, deviation: NDArray[np.float32]
) -> Verdict:
    if observed is None:
        return compare.MISSING
    return compare.compare_with_arbiter(
        observed, expected.preactivation, deviation, relu=expected.relu
    )
