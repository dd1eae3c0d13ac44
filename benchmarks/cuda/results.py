"""What ``benchmarks.cuda`` has measured so far, and the targets that it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.harness.targets import Target, target_documents
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import Report, Row

_WITHIN: Final = 1.25


@dataclass(frozen=True)
class Throughput:
    """One runtime in one lane at one batch size.

    Attributes:
        runtime, lane, mode: what ran, and the numeric mode whose roofline applies.
        batch: images per run; 0 if nothing was measured.
        seconds: of a run, the median.
        runs: the number of timed runs.
        reason: why there is no time; empty if there is one.
    """

    runtime: str
    lane: str
    mode: str
    batch: int = 0
    seconds: float = 0.0
    runs: int = 0
    reason: str = ""

    @property
    def rate(self) -> float:
        """Images per second; 0 if nothing was measured."""
        return self.batch / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Tests:
    """A run of tests that need a GPU: pytest's exit status, if it ended, and its last line."""

    status: int | None
    summary: str


@dataclass
class Results:
    """What one run of the command has measured so far.

    Attributes:
        configuration: the network's name.
        device: where it was measured.
        facts: card, driver, versions, date.
        operations: floating-point operations of one image, two for each multiply-add.
        report: the parity report.
        rates: mode -> FLOP/s of a large matrix product.
        throughput: one entry for each measurement.
        tests: which tests that need a GPU -> their outcome.
        stopped: when the run was stopped; empty if it was not.
    """

    configuration: str
    device: str
    facts: dict[str, str]
    operations: int
    report: Report
    rates: dict[str, float] = field(default_factory=dict)
    throughput: list[Throughput] = field(default_factory=list)
    tests: dict[str, Tests] = field(default_factory=dict)
    stopped: str = ""

    @property
    def targets(self) -> list[Target]:
        """Every target."""
        found = [*parity_targets(self.report), *speed_targets(self.throughput)]
        name = "exit status of the tests that need a GPU"
        return found + [
            Target(f"{name}, {which}", tests.status, 0, note=tests.summary)
            for which, tests in self.tests.items()
        ]

    @property
    def passed(self) -> bool:
        """Whether parity holds, no target is missed and the run was not stopped."""
        missed = any(target.verdict == "missed" for target in self.targets)
        return self.report.holds and not missed and not self.stopped

    def document(self) -> dict[str, Any]:
        """Everything but the parity report, as JSON."""
        return {
            "configuration": self.configuration,
            "device": self.device,
            "facts": self.facts,
            "operations": self.operations,
            "rates": self.rates,
            "throughput": [asdict(each) for each in self.throughput],
            "tests": {which: asdict(tests) for which, tests in self.tests.items()},
            "targets": target_documents(self.targets),
            "stopped": self.stopped,
        }


def speed_targets(measured: Sequence[Throughput]) -> list[Target]:
    """ONNX Runtime's rate over PyTorch's, for each lane and batch size that has both."""
    rates = {(each.runtime, each.lane, each.batch): each.rate for each in measured if each.rate}
    name = "images per second over PyTorch's"
    found = [
        Target(
            f"{runtime}, {lane}, batch {batch}: {name}",
            rate / rates["torch", lane, batch],
            _WITHIN,
            1 / _WITHIN,
        )
        for (runtime, lane, batch), rate in rates.items()
        if runtime.startswith("onnx-from-") and ("torch", lane, batch) in rates
    ]
    return found or [Target(f"ONNX Runtime: {name}", None, _WITHIN, 1 / _WITHIN)]


def parity_targets(report: Report) -> list[Target]:
    """R and Z of each runtime in the strict lane on the GPU."""
    device = "cuda" if report.device == "both" else report.device
    rows = [row for row in report.rows if row.lane == "strict" and row.device == device]
    limits = (LIMITS.ratio.limit, LIMITS.deviations.limit)
    targets = []
    for row in rows:
        worst = worst_figures(row)
        note = f"{row.status}: {row.reason}" if worst is None else ""
        targets += [
            Target(f"{row.runtime}, strict: {figure}", measured, limit, note=note)
            for figure, measured, limit in zip("RZ", worst or (None, None), limits, strict=True)
        ]
    missing = zip("RZ", limits, strict=True)
    note = "no runtime was run"
    return targets or [Target(f"strict: {name}", None, limit, note=note) for name, limit in missing]


def worst_figures(row: Row) -> tuple[float, float] | None:
    """The largest R and Z of a row, accumulated or local; none where nothing was compared."""
    figures = [*row.worst("accumulated").values(), *row.worst("local").values()]
    if not figures:
        return None
    return max(ratio for ratio, _ in figures), max(deviations for _, deviations in figures)
