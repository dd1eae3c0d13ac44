"""What a run rightly did otherwise than its numeric mode says, found in its values.

A case that does not hold is judged again under each arithmetic that its values suggest. It holds
under the first that explains every layer, with a note that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.layers import judge_case, judge_not_finite
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.prediction import expect
from vgg16_parity.records import CaseVerdict
from vgg16_parity.runtimes.process import Job
from vgg16_spec.checkpoint import Checkpoint


@dataclass(frozen=True)
class Evidence:
    """A case that does not hold, and the values that show it.

    Attributes:
        checkpoint: what the arbiter computed with.
        expectation: the arbiter's answers.
        mode: the run's numeric mode.
        taps: the run's values by tap.
        layers: each layer's output for the arbiter's input; empty if layers were not run alone.
        verdict: the verdict in that mode.
        taps_optional: whether the run need not have every tap.
    """

    checkpoint: Checkpoint
    expectation: ArbiterCase
    mode: Mode
    taps: Mapping[str, NDArray[Any]]
    layers: Mapping[str, NDArray[Any]]
    verdict: CaseVerdict
    taps_optional: bool = False

    def judge_as(self, arithmetic: Arithmetic) -> CaseVerdict:
        """The verdict if the run computed so."""
        case = self.expectation.case
        with TemporaryDirectory(prefix="vgg16-alternative-") as folder:
            expected = expect(
                self.checkpoint, case, [self.mode], Path(folder) / "case", arithmetic=arithmetic
            )
            return judge_case(
                expected, self.mode, self.taps, self.layers, taps_optional=self.taps_optional
            )


# What the evidence suggests, the likeliest first, each with its note.
Finder: TypeAlias = Callable[[Evidence], Iterator[tuple[Arithmetic, str]]]
FINDERS: Final[tuple[Finder, ...]] = ()


def judge_again(evidence: Evidence) -> tuple[CaseVerdict, Arithmetic]:
    """The case under the first arithmetic that explains it; as it was if none does."""
    if evidence.verdict.holds:
        return evidence.verdict, PLAIN
    for find in FINDERS:
        for arithmetic, note in find(evidence):
            verdict = evidence.judge_as(arithmetic)
            if verdict.holds:
                return replace(verdict, notes=(note, *verdict.notes)), arithmetic
    return evidence.verdict, PLAIN


def judge_cases(
    checkpoint: Checkpoint, expectations: Sequence[ArbiterCase], mode: Mode, job: Job
) -> tuple[tuple[CaseVerdict, ...], Arithmetic]:
    """Judge a worker's results of every case by the arbiter's answers.

    Returns the verdicts, and the first arithmetic beyond the mode that explains one of them.
    """
    judged = [_judged(checkpoint, expectation, mode, job) for expectation in expectations]
    found = (arithmetic for _, arithmetic in judged if arithmetic is not PLAIN)
    return tuple(verdict for verdict, _ in judged), next(found, PLAIN)


def _judged(
    checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, job: Job
) -> tuple[CaseVerdict, Arithmetic]:
    folder, optional = str(expectation.folder), bool(job.runtime.port)
    taps, layers = job.result(folder, "accumulated"), job.result(folder, "local")
    if not expectation.case.finite:
        return judge_not_finite(expectation, taps), PLAIN
    verdict = judge_case(expectation, mode, taps, layers, taps_optional=optional)
    return judge_again(Evidence(checkpoint, expectation, mode, taps, layers, verdict, optional))
