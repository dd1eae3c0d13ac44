"""A runtime's results, read layer by layer from its files and compared.

Every run is compared with the arbiter, and a run on the GPU with the same runtime and lane on the
CPU as well. Each of those has its own error. The errors are assumed independent, so the predicted
variance of the difference is the sum of both variances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import Verdict, compare_runs, compare_with_arbiter
from onnx_arbiter.expectations import ArbiterCase, ArbiterTap
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.uneven import LayerError, uneven_alone, uneven_taps
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.network.prediction import expect
from vgg16_parity.runtimes.job import Job
from vgg16_parity.verdicts import BesideCpu, CaseVerdict, Decision, LayerVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.logits import top

Taps = Mapping[str, NDArray[Any]]


class Run(NamedTuple):
    """A finished job and the numeric mode that it computed in.

    ``assumed`` is the arithmetic that a case was judged by, by the case's name, if another.
    """

    job: Job
    mode: Mode
    assumed: Mapping[str, Arithmetic] = MappingProxyType({})


def judge_case(
    expectation: ArbiterCase,
    mode: Mode,
    taps: Taps,
    layers: Taps,
    *,
    taps_optional: bool = False,
    alike: bool = True,
) -> CaseVerdict:
    """Judge a runtime's taps, by name, in the order of the arbiter's.

    ``layers`` has each layer's output given the arbiter's input, or nothing. With
    ``taps_optional``, a runtime need not have every tap. Unless its layers are computed ``alike``,
    one with larger errors than the others is nothing to note.
    """
    case = expectation.case
    if beyond := expectation.beyond(mode):
        message = f"{beyond}: not compared"
        reason, said = ("", (message,)) if case.extreme else (message, ())
        return CaseVerdict(case.name, (), (), reason, said)
    verdicts: list[LayerVerdict] = []
    errors: list[LayerError] = []
    decisions: tuple[Decision, ...] = ()
    for tap in expectation.relus:
        observed = taps.get(tap)
        if observed is None and taps_optional:
            continue
        expected = expectation.tap(tap, mode)
        layer = _compared(expectation, expected, mode, tap, observed, layers)
        verdicts.append(layer)
        judged, count = layer.local or layer.accumulated, partial(_fewest, expectation, tap, mode)
        errors.append(LayerError.of(tap, expected, judged, count))
        if tap == expectation.last and math.isfinite(layer.accumulated.max_error):
            decisions = decide(taps[tap], expected.preactivation, expected.accumulated)

    def images(outcome: str) -> str:
        return ", ".join(compress(case.labels, (each.outcome == outcome for each in decisions)))

    reasons = []
    if unknown := [tap for tap in (*taps, *layers) if tap not in expectation.relus]:
        reasons.append(f"no layer is called {', '.join(unknown)}")
    if not verdicts:
        reasons.append("nothing was compared")
    if flipped := images("flipped"):
        reasons.append(f"top classes differ by more than rounding allows: {flipped}")
    notes = list[str]()
    if inside := images("inside"):
        notes.append(f"top classes changed places within the allowed error: {inside}")
    verdict = CaseVerdict(case.name, tuple(verdicts), decisions, "; ".join(reasons))
    if verdict.holds and alike:
        notes += (uneven_alone if layers else uneven_taps)(errors)
    return replace(verdict, notes=tuple(notes))


def _compared(
    expectation: ArbiterCase,
    expected: ArbiterTap,
    mode: Mode,
    tap: str,
    observed: NDArray[Any] | None,
    layers: Taps,
) -> LayerVerdict:
    """A tap as the runtime has it, and its layer alone if any layer was run alone."""
    compare = partial(
        compare_with_arbiter, preactivation=expected.preactivation, relu=expected.relu
    )
    before = partial(expectation.independent_before, tap, mode)
    accumulated = compare(observed, deviation=expected.accumulated, independent=before)
    if not layers:
        return LayerVerdict(tap, accumulated)
    inputs = partial(expectation.independent_inputs, tap)
    local = compare(layers.get(tap), deviation=expected.local, independent=inputs)
    return LayerVerdict(tap, accumulated, local)


def _fewest(expectation: ArbiterCase, tap: str, mode: Mode) -> float:
    """The smallest number of independent errors of any image at a tap."""
    images = range(len(expectation.case.images))
    return min(expectation.independent_at(tap, mode, image) for image in images)


def decide(
    logits: NDArray[Any],
    arbiter: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
) -> tuple[Decision, ...]:
    """Compare the top classes of each image; all arrays are (N, classes).

    Z decides how many predicted standard deviations an error may move a logit.
    """
    decisions = []
    # Sorting negates logits, which would wrap unsigned numbers around.
    for ours, theirs, predicted in zip(logits.astype(np.float64), arbiter, deviation, strict=True):
        (first,), (wanted,) = (top(each[np.newaxis], 5).tolist() for each in (ours, theirs))
        allowed = LIMITS.deviations.limit * predicted.astype(np.float64)
        swaps = [
            (lost, gained)
            for count in (1, 5)
            for lost in set(wanted[:count]) - set(first[:count])
            for gained in set(first[:count]) - set(wanted[:count])
        ]
        beyond_rounding = any(
            theirs[lost] - theirs[gained] > allowed[lost] + allowed[gained]
            for lost, gained in swaps
        )
        ordered = np.sort(theirs)[::-1]
        decisions.append(
            Decision(
                top1=first[0],
                arbiter_top1=wanted[0],
                top5=tuple(first),
                arbiter_top5=tuple(wanted),
                margin=float(ordered[0] - ordered[1]) if len(ordered) > 1 else math.inf,
                largest_error=float(np.abs(ours - theirs).max()),
                outcome="flipped" if beyond_rounding else "inside" if swaps else "agrees",
            )
        )
    return tuple(decisions)


def judge_not_finite(expectation: ArbiterCase, taps: Taps) -> CaseVerdict:
    """Judge the shapes of taps, and note where values that are not finite disappear.

    There is no error where the arbiter has no number. Frameworks differ here by design (in some,
    the maximum of NaN and a number is the number), so a value that disappears is noted and never
    fails the run.
    """
    wrong: list[str] = []
    lost = [(label, list[str]()) for label in expectation.case.labels]
    for tap in expectation.relus:
        if tap not in taps:
            continue
        observed, arbiter = taps[tap], expectation.preactivation(tap)
        if observed.shape != arbiter.shape:
            wrong.append(tap)
            continue
        for (_, where), ours, theirs in zip(lost, observed, arbiter, strict=True):
            if np.isfinite(ours).all() and not np.isfinite(theirs).all():
                where.append(tap)
    if wrong := [*wrong, *(tap for tap in taps if tap not in expectation.relus)]:
        reason = f"no outputs of the network's shape: {', '.join(wrong)}"
        return CaseVerdict(expectation.case.name, (), (), reason)
    ends = {expectation.last: ", the logits are finite"}
    notes = tuple(
        f"{label}: disappears at {where[0]}{ends.get(where[-1], '')}"
        for label, where in lost
        if where
    )
    return CaseVerdict(expectation.case.name, (), (), notes=notes)


def compare_with_cpu(
    gpu: Run, cpu: Run, expectations: Sequence[ArbiterCase], checkpoint: Checkpoint
) -> tuple[BesideCpu, ...]:
    """Compare a run on the GPU with the CPU's, in every case within range of both modes.

    Each run's errors are predicted by the arithmetic that it was judged by.

    A case with values that are not finite is left out, and so is a tap that only one run has.
    """
    cases = []
    for expectation in expectations:
        if not expectation.case.finite or any(expectation.beyond(run.mode) for run in (gpu, cpu)):
            continue
        with scratch_folder("vgg16-beside") as folder:
            both = [
                (run, _as_judged(run, expectation, checkpoint, folder / name))
                for name, run in (("gpu", gpu), ("cpu", cpu))
            ]
            layers = []
            for tap in expectation.relus:
                accumulated, local = (
                    _difference(both, expectation, tap, kind) for kind in ("accumulated", "local")
                )
                if accumulated is not None:
                    layers.append(LayerVerdict(tap, accumulated, local))
        cases.append(BesideCpu(expectation.case.name, tuple(layers)))
    return tuple(cases)


def _as_judged(
    run: Run, expectation: ArbiterCase, checkpoint: Checkpoint, folder: Path
) -> ArbiterCase:
    """The arbiter's answers by which a run was judged."""
    arithmetic = run.assumed.get(expectation.case.name)
    if arithmetic is None:
        return expectation
    only = len(expectation.relus) == 1
    return expect(
        checkpoint, expectation.case, [run.mode], folder, arithmetic=arithmetic, logits_only=only
    )


def _difference(
    both: Sequence[tuple[Run, ArbiterCase]],
    expectation: ArbiterCase,
    tap: str,
    kind: Literal["accumulated", "local"],
) -> Verdict | None:
    folder = str(expectation.folder)
    ours, theirs = (run.job.result(folder, kind).get(tap) for run, _ in both)
    if ours is None or theirs is None:
        return None
    predicted = [expected.tap(tap, run.mode) for run, expected in both]
    deviation = np.hypot(*(getattr(each, kind) for each in predicted))
    before = partial(expectation.independent_before, tap, both[0][0].mode)
    if kind == "local":
        before = partial(expectation.independent_inputs, tap)
    first = predicted[0]
    return compare_runs(
        ours, theirs, first.preactivation, deviation, relu=first.relu, independent=before
    )
