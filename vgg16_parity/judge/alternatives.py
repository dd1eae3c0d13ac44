"""How a run may have computed, if not as its numeric mode says: found in its values.

A case that does not hold is judged again under each arithmetic that its values suggest. The first
that explains every layer is named in a note. Whether the case then holds is for the suggestion to
say: an algorithm is a run's own choice, fewer bits than it claims are not. If one explains all but
some layers, those are wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.algorithms import described, find_algorithm, find_fft, find_logits_alone
from vgg16_parity.judge.evidence import Evidence, Finder, Suggestion
from vgg16_parity.judge.layers import judge_case, judge_not_finite
from vgg16_parity.judge.own_input import find_own_input
from vgg16_parity.judge.precision import find_precision
from vgg16_parity.judge.truncation import find_truncation
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.runtimes.job import Job
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint

# In the order in which they are asked.
FINDERS: Final[tuple[Finder, ...]] = (
    find_truncation,
    find_algorithm,
    find_own_input,
    find_precision,
    find_fft,
    find_logits_alone,
)


def judge_again(evidence: Evidence) -> tuple[CaseVerdict, Arithmetic]:
    """The case under the first arithmetic that explains it.

    If none does, it is as it was, or under the one that leaves the fewest of its layers wrong.
    """
    if evidence.verdict.holds:
        return evidence.verdict, PLAIN
    return _explained(evidence, chain.from_iterable(find(evidence) for find in FINDERS))


def _explained(
    evidence: Evidence, suggestions: Iterable[Suggestion]
) -> tuple[CaseVerdict, Arithmetic]:
    nearest, fewest = (evidence.verdict, PLAIN), _failures(evidence.verdict)
    for suggestion in suggestions:
        verdict = evidence.judge_as(suggestion.arithmetic, suggestion.checkpoint)
        explained = _noted(verdict, suggestion), suggestion.arithmetic
        if verdict.holds:
            stays = _noted(evidence.verdict, suggestion), PLAIN
            return explained if suggestion.passes else stays
        failures = _failures(verdict)
        if suggestion.passes and failures < fewest:
            nearest, fewest = explained, failures
    return nearest


def _noted(verdict: CaseVerdict, suggestion: Suggestion) -> CaseVerdict:
    return replace(verdict, notes=(suggestion.note, *verdict.notes))


def _failures(verdict: CaseVerdict) -> frozenset[tuple[str, bool]]:
    """What fails: a layer and whether it does so alone."""
    return frozenset(
        (layer.tap, alone)
        for layer in verdict.layers
        for one, alone in ((layer.accumulated, False), (layer.local, True))
        if one is not None and not one.passed
    )


def judge_cases(
    checkpoint: Checkpoint, expectations: Sequence[ArbiterCase], mode: Mode, job: Job
) -> tuple[tuple[CaseVerdict, ...], dict[str, Arithmetic]]:
    """Judge a worker's results of every case by the arbiter's answers.

    A constant or a single pixel shows no tiles, so that what explains one case is tried on those
    that nothing explains. Returns the verdicts, and by the case's name the arithmetic beyond the
    mode that one assumes.
    """
    shown = [_evidence(checkpoint, expectation, mode, job) for expectation in expectations]
    judged = [judge_again(evidence) for evidence in shown]
    known = [found.algorithms for case, found in judged if case.holds and found.algorithms]
    for index, evidence in enumerate(shown):
        if evidence.verdict.layers and not judged[index][0].holds:
            again = [Suggestion(Arithmetic(algorithms=a), described(evidence, a)) for a in known]
            explained = _explained(evidence, again)
            judged[index] = explained if explained[0].holds else judged[index]
    assumed = {case.case: found for case, found in judged if found is not PLAIN}
    return tuple(case for case, _ in judged), assumed


def _evidence(checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, job: Job) -> Evidence:
    """A worker's results of a case, with their verdict in the mode."""
    folder, optional = str(expectation.folder), bool(job.runtime.port)
    taps, layers = job.result(folder, "accumulated"), job.result(folder, "local")
    if expectation.case.finite:
        verdict = judge_case(expectation, mode, taps, layers, taps_optional=optional)
    else:
        verdict = judge_not_finite(expectation, taps)
    return Evidence(checkpoint, expectation, mode, taps, layers, verdict, optional)
