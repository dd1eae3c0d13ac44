"""A report as a JSON document."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, Verdict
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.report.table import summary
from vgg16_parity.runtimes.job import Record
from vgg16_parity.verdicts import ProbeVerdict
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.text import json_text, json_values

SCHEMA: Final = "vgg16-parity-report/3"


@dataclass(frozen=True)
class AppliedLimits:
    """The largest values that pass.

    Attributes:
        ratio: R, the least limit of ``ratio``: ``ratio_limit`` is larger where few of an image's
            errors are independent.
        deviations: Z, the limit of ``deviations``.
    """

    ratio: float = LIMITS.ratio.limit
    deviations: float = LIMITS.deviations.limit


@dataclass(frozen=True)
class ArbiterRun:
    """How the arbiter ran.

    Attributes:
        implementation: what computes it.
        seconds: its time, error prediction included.
        peak_bytes: peak memory of its process, which also judges.
    """

    implementation: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Change:
    """One difference between an older report and this one.

    Attributes:
        where: a runtime and lane, a case, ``weights`` or ``run``.
        what: the value's name.
        before: the older report's value; empty if it has none.
        after: this report's value; empty if it has none.
    """

    where: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.before or 'none'} → {self.after or 'none'}"


@dataclass(frozen=True)
class Document:
    """The report of one ``vgg16 parity``.

    Attributes:
        schema: name and version of this format.
        holds: whether parity is shown: exit status 0.
        summary: the outcome in one line.
        limits: what a tap must not exceed to pass.
        histogram_exponents: the powers of two that separate the bins of ``histogram``.
        device: where the runtimes ran: ``cpu``, ``cuda`` or ``both``.
        weights: the checkpoint, the same for every runtime.
        cases: the batches of inputs.
        arbiter: what the runtimes are compared with.
        rows: one per runtime, lane and device, in the order requested.
        moved: the differences from an older report, with ``--against`` only; empty if there are
            none.
    """

    schema: Literal["vgg16-parity-report/3"]
    holds: bool
    summary: str
    limits: AppliedLimits
    histogram_exponents: tuple[Annotated[int, "may be negative"], ...]
    device: str
    weights: Weights
    cases: tuple[CaseFacts, ...]
    arbiter: ArbiterRun
    rows: tuple[Row, ...]
    moved: tuple[Change, ...] | None = field(default=None, metadata={"may be absent": True})

    @classmethod
    def of(cls, report: Report, moved: Sequence[Change] | None = None) -> Document:
        """The document of a report."""
        return cls(
            schema=SCHEMA,
            holds=report.holds,
            summary=summary(report),
            limits=AppliedLimits(),
            histogram_exponents=HISTOGRAM_EXPONENTS,
            device=report.device,
            weights=report.weights,
            cases=report.cases,
            arbiter=ArbiterRun("NumPy float64", report.arbiter_seconds, report.peak_bytes),
            rows=report.rows,
            moved=None if moved is None else tuple(moved),
        )


def to_json(report: Report, moved: Sequence[Change] | None = None) -> dict[str, Any]:
    """The document of a report as JSON values; ``moved`` is what changed since an older one."""
    document = encode(Document.of(report, moved))
    return {name: value for name, value in document.items() if value is not None}


def text(report: Report, moved: Sequence[Change] | None = None) -> str:
    """The same as the text of a file."""
    return json_text(to_json(report, moved)) + "\n"


def encode(record: Any) -> Any:
    """A record as JSON values; a figure that JSON cannot hold, infinity, is null."""
    return json_values(dataclasses.asdict(record, dict_factory=_said))


# Fields that the first documents of this schema lack: there where they say something.
_ADDED: Final = {
    each.name
    for record in (Metadata, Weights, Row, Record, Verdict, ProbeVerdict)
    for each in dataclasses.fields(record)
    if each.metadata.get("may be absent")
}


def _said(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if value or name not in _ADDED}
