"""What a run rightly did otherwise than its numeric mode says, found in its values.

A case that does not hold is judged again under each arithmetic that its values suggest. The first
that explains every layer is named in a note. Whether the case then holds is for the suggestion to
say: an algorithm is a run's own choice, fewer bits than it claims are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.algorithms import find_algorithm, find_fft, find_logits_alone
from vgg16_parity.judge.evidence import Evidence, Finder
from vgg16_parity.judge.layers import judge_case, judge_not_finite
from vgg16_parity.judge.precision import find_precision
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.runtimes.process import Job
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint

# In the order in which they are asked.
FINDERS: Final[tuple[Finder, ...]] = (
    find_algorithm,
    find_precision,
    find_fft,
    find_logits_alone,
)


def judge_again(evidence: Evidence) -> tuple[CaseVerdict, Arithmetic]:
    """The case under the first arithmetic that explains it; as it was if none does."""
    if evidence.verdict.holds:
        return evidence.verdict, PLAIN
    for find in FINDERS:
        for suggestion in find(evidence):
            verdict = evidence.judge_as(suggestion.arithmetic, suggestion.checkpoint)
            if verdict.holds:
                told = verdict if suggestion.passes else evidence.verdict
                arithmetic = suggestion.arithmetic if suggestion.passes else PLAIN
                return replace(told, notes=(suggestion.note, *told.notes)), arithmetic
    return evidence.verdict, PLAIN


def judge_cases(
    checkpoint: Checkpoint, expectations: Sequence[ArbiterCase], mode: Mode, job: Job
) -> tuple[tuple[CaseVerdict, ...], dict[str, Arithmetic]]:
    """Judge a worker's results of every case by the arbiter's answers.

    Returns the verdicts, and by the case's name the arithmetic beyond the mode that one assumes.
    """
    judged = [_judged(checkpoint, expectation, mode, job) for expectation in expectations]
    assumed = {case.case: found for case, found in judged if found is not PLAIN}
    return tuple(case for case, _ in judged), assumed


def _judged(
    checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, job: Job
) -> tuple[CaseVerdict, Arithmetic]:
    folder, optional = str(expectation.folder), bool(job.runtime.port)
    taps, layers = job.result(folder, "accumulated"), job.result(folder, "local")
    if not expectation.case.finite:
        return judge_not_finite(expectation, taps), PLAIN
    verdict = judge_case(expectation, mode, taps, layers, taps_optional=optional)
    return judge_again(Evidence(checkpoint, expectation, mode, taps, layers, verdict, optional))
