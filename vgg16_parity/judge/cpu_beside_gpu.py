"""A runtime on the GPU beside the same runtime and lane on the CPU, layer by layer.

Each is off from the arbiter by its own errors. Taken for independent, the variance of their
difference is the sum of both, and that is what it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_parity.records import BesideCpu, LayerVerdict, Row
from vgg16_parity.runtimes.exchange import opened
from vgg16_parity.runtimes.process import Result, RunJob

Taps = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """What a worker left, the mode that it is judged by, and whether it holds by itself."""

    job: RunJob
    mode: Mode
    holds: bool


def add_cpu_comparison(row: Row, gpu: Run, cpu: Run, expectations: Sequence[ArbiterCase]) -> Row:
    """The GPU's row with what it gave beside the CPU; broken where they differ by too much.

    Where the CPU's run does not hold by itself, the difference is told and is not the GPU's fault.

    Args:
        row: of the run on the GPU; its own reason stays first.
        gpu, cpu: the two runs.
        expectations: what the arbiter has of each case, in the order of the jobs'.
    """
    cases = []
    for index, expectation in enumerate(expectations):
        if not expectation.case.finite or any(expectation.beyond(run.mode) for run in (gpu, cpu)):
            continue
        found = {kind: _compared(kind, index, gpu, cpu, expectation) for kind in _KINDS}
        layers = tuple(
            LayerVerdict(tap, verdict, found["local"].get(tap))
            for tap, verdict in found["accumulated"].items()
        )
        cases.append(BesideCpu(expectation.case.name, layers))
    row = replace(row, beside_cpu=tuple(cases))
    if row.status == "holds" and cpu.holds and (wrong := _first_wrong(cases)):
        return replace(row, status="broken", first_wrong=wrong[0], reason=wrong[1])
    return row


_KINDS: tuple[Result, ...] = ("accumulated", "local")


def _compared(
    kind: Result, index: int, gpu: Run, cpu: Run, expectation: ArbiterCase
) -> dict[str, Verdict]:
    """Tap -> the verdict on the difference, of the taps that both have."""
    runs = (gpu, cpu)
    results = [run.job.result(run.job.cases[index], kind) for run in runs]
    verdict: dict[str, Verdict] = {}
    with opened(results[0]) as ours, opened(results[1]) as theirs:
        for tap, relu in expectation.relus.items():
            if tap not in ours or tap not in theirs:
                continue
            expected = [expectation.tap(tap, run.mode) for run in runs]
            deviation = np.hypot(*(getattr(each, kind) for each in expected))
            before = expected[0].before
            verdict[tap] = compare.compare_runs(
                ours[tap], theirs[tap], before, deviation, relu=relu
            )
    return verdict


def _first_wrong(cases: Sequence[BesideCpu]) -> tuple[str, str] | None:
    """The first tap that differs by too much, and why in words; a layer alone says most."""
    for kind in ("local", "accumulated"):
        for case in cases:
            for layer in case.layers:
                verdict: Verdict | None = getattr(layer, kind)
                if verdict is not None and not verdict.passed:
                    said = f"{layer.tap} beside the CPU's: {case.case}: {verdict.reason}"
                    return layer.tap, said
    return None
