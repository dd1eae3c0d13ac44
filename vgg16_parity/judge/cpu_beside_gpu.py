"""A run on the GPU compared with the same runtime and lane on the CPU, layer by layer.

Each run has its own error. The errors are assumed independent, so the predicted variance of the
difference is the sum of both variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.records import BesideCpu, LayerVerdict
from vgg16_parity.runtimes.process import Job, Result


class Run(NamedTuple):
    """A finished job and the numeric mode that it computed in."""

    job: Job
    mode: Mode


def compare_with_cpu(
    gpu: Run, cpu: Run, expectations: Sequence[ArbiterCase]
) -> tuple[BesideCpu, ...]:
    """Compare two runs in every case whose values are finite and within range of both modes.

    Args:
        gpu: the run on the GPU.
        cpu: the run on the CPU.
        expectations: the arbiter's answers for each case, in the order of the jobs' cases.
    """
    cases = []
    for index, expectation in enumerate(expectations):
        if not expectation.case.finite or any(expectation.beyond(run.mode) for run in (gpu, cpu)):
            continue
        accumulated = _compared("accumulated", index, (gpu, cpu), expectation)
        local = _compared("local", index, (gpu, cpu), expectation)
        layers = tuple(
            LayerVerdict(tap=tap, accumulated=verdict, local=local.get(tap))
            for tap, verdict in accumulated.items()
        )
        cases.append(BesideCpu(case=expectation.case.name, layers=layers))
    return tuple(cases)


def _compared(
    kind: Result, index: int, runs: tuple[Run, Run], expectation: ArbiterCase
) -> dict[str, Verdict]:
    """The verdicts on the taps that both runs have."""
    ours, theirs = (run.job.result(run.job.cases[index], kind) for run in runs)
    verdicts: dict[str, Verdict] = {}
    for tap, relu in expectation.relus.items():
        if tap in ours and tap in theirs:
            expected = [expectation.tap(tap, run.mode) for run in runs]
            deviation = np.hypot(*(getattr(each, kind) for each in expected))
            preactivation = expected[0].preactivation
            verdicts[tap] = compare.compare_runs(
                ours[tap], theirs[tap], preactivation, deviation, relu=relu
            )
    return verdicts
