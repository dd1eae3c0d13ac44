"""A runtime's results, read layer by layer from its files, and judged: a row of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.decisions import decide
from vgg16_parity.network.expectations import ArbiterCase, ArbiterTap
from vgg16_parity.records import CaseVerdict, Decision, LayerVerdict, Row, Status
from vgg16_parity.runtimes.exchange import opened
from vgg16_parity.runtimes.process import Record, RunJob

_MISSING: Final = "there is no such output"


def judge(
    runtime: str,
    lane: str,
    mode: Mode,
    expectations: Sequence[ArbiterCase],
    job: RunJob,
    record: Record,
) -> Row:
    """Judge what a worker left of every case.

    Args:
        runtime: the row's name.
        lane: the row's lane.
        mode: the numeric mode to judge by.
        expectations: what the arbiter has of each case, in the order of the job's.
        job: tells where the results are.
        record: goes into the row.
    """
    cases = []
    for expectation, folder in zip(expectations, job.cases, strict=True):
        with opened(job.result(folder, "accumulated")) as taps:
            if expectation.case.finite:
                with opened(job.result(folder, "local")) as layers:
                    some = bool(job.runtime.port)
                    cases.append(judge_case(expectation, mode, taps, layers, some_taps=some))
            else:
                cases.append(judge_what_is_not_finite(expectation, mode, taps))
    return to_row(runtime, lane, mode, cases, record)


def to_row(
    runtime: str, lane: str, mode: Mode, cases: Sequence[CaseVerdict], record: Record | None = None
) -> Row:
    """The row of cases that are judged, with the first layer that is wrong."""
    layer, reason = _explained(cases)
    status: Status = "broken" if reason else "holds"
    return Row(runtime, lane, mode.name, status, reason, layer, tuple(cases), record)


def judge_case(
    expectation: ArbiterCase,
    mode: Mode,
    taps: Mapping[str, NDArray[Any]],
    layers: Mapping[str, NDArray[Any]],
    *,
    some_taps: bool = False,
) -> CaseVerdict:
    """Judge a runtime's taps, and its layers alone where there are any.

    Args:
        expectation: what the arbiter has; its taps are judged, in their order.
        mode: the numeric mode to judge by.
        taps: the runtime's own, by name.
        layers: what each layer made of the arbiter's input, by name; may be empty.
        some_taps: whether a tap besides the logits may be missing.
    """
    if beyond := expectation.beyond(mode):
        said = f"{beyond}: not compared"
        if expectation.case.extreme:
            return CaseVerdict(expectation.case.name, (), (), "", (said,))
        return CaseVerdict(expectation.case.name, (), (), said)
    judged: list[LayerVerdict] = []
    for tap in expectation.relus:
        if some_taps and tap not in taps:
            continue
        expected = expectation.tap(tap, mode)
        accumulated = _verdict(taps.get(tap), expected, expected.accumulated)
        local = _verdict(layers.get(tap), expected, expected.local) if layers else None
        judged.append(LayerVerdict(tap, accumulated, local))
    unknown = [name for name in (*taps, *layers) if name not in expectation.relus]
    decisions: tuple[Decision, ...] = ()
    last = list(expectation.relus)[-1]
    if judged and judged[-1].tap == last and math.isfinite(judged[-1].accumulated.max_error):
        expected = expectation.tap(last, mode)
        decisions = decide(taps[last], expected.before, expected.accumulated)
    named = list(zip(expectation.case.labels, decisions, strict=True)) if decisions else []
    reasons = [f"no layer is called {', '.join(unknown)}"] if unknown else []
    if not judged:
        reasons.append("nothing was compared")
    reasons += [
        f"{label} is of another class, and not by the allowed error"
        for label, decision in named
        if decision.outcome == "flipped"
    ]
    notes = tuple(
        f"{label}: classes changed places whose logits the allowed error does not tell apart"
        for label, decision in named
        if decision.outcome == "inside"
    )
    return CaseVerdict(expectation.case.name, tuple(judged), decisions, "; ".join(reasons), notes)


def judge_what_is_not_finite(
    expectation: ArbiterCase, mode: Mode, taps: Mapping[str, NDArray[Any]]
) -> CaseVerdict:
    """Tell what became of images that are not finite.

    How far off a number is has no meaning where the arbiter has none. Frameworks differ in this by
    design (some take the maximum of NaN and a number for the number), so that what is lost on the
    way is noted and breaks nothing.
    """
    name = expectation.case.name
    shapes = {tap: expectation.tap(tap, mode).before.shape for tap in expectation.relus}
    wrong = [tap for tap, shape in shapes.items() if tap in taps and taps[tap].shape != shape]
    wrong += [tap for tap in taps if tap not in shapes]
    if wrong:
        return CaseVerdict(name, (), (), f"no outputs of the network's shape: {', '.join(wrong)}")
    notes = []
    for index, label in enumerate(expectation.case.labels):
        lost = [
            tap
            for tap in expectation.relus
            if tap in taps
            and not np.isfinite(expectation.tap(tap, mode).before[index]).all()
            and np.isfinite(taps[tap][index]).all()
        ]
        if lost:
            end = ", the logits are finite" if lost[-1] == list(expectation.relus)[-1] else ""
            notes.append(f"{label}: nothing of it is left at {lost[0]}{end}")
    return CaseVerdict(name, (), (), "", tuple(notes))


def _verdict(
    observed: NDArray[Any] | None, expected: ArbiterTap, deviation: NDArray[np.float32]
) -> Verdict:
    if observed is None:
        inf = math.inf
        return Verdict(False, inf, inf, inf, inf, inf, reason=_MISSING)
    return compare.compare_with_arbiter(observed, expected.before, deviation, relu=expected.relu)


def _explained(cases: Sequence[CaseVerdict]) -> tuple[str, str]:
    """The first wrong layer and what is wrong, over all cases; empty where nothing is."""
    taps = list(dict.fromkeys(layer.tap for case in cases for layer in case.layers))
    failed: dict[str, dict[str, str]] = {"local": {}, "accumulated": {}}
    for case in cases:
        for layer in case.layers:
            for kind, found in failed.items():
                verdict: Verdict | None = getattr(layer, kind)
                if verdict is not None and not verdict.passed:
                    found.setdefault(layer.tap, f"{case.case}: {verdict.reason}")
    alone = any(layer.local is not None for case in cases for layer in case.layers)
    for tap in taps:
        if tap in failed["local"]:
            return tap, f"{tap}, given the arbiter's input: {failed['local'][tap]}"
    for tap in taps:
        if tap in failed["accumulated"]:
            right = ", though each layer alone is right" if alone else ""
            return tap, f"from {tap} on: {failed['accumulated'][tap]}{right}"
    return "", "; ".join(f"{case.case}: {case.reason}" for case in cases if case.reason)
