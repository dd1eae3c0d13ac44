"""What a parity run found, as a table and as a JSON document."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from parity.compare import Verdict
from parity.runtimes import Record

SCHEMA: Final = "vgg16-parity-report/1"


@dataclass(frozen=True)
class Weights:
    """The checkpoint of a run.

    Parameters
    ----------
    configuration: the network's name.
    parameters: how many values it has.
    seeded: whether the weights were never trained.
    path: the checkpoint's file name; empty where it was in no canonical file.
    sha256: that file's digest.
    metadata: the checkpoint's (recipe, source, licence, …).
    """

    configuration: str
    parameters: int
    seeded: bool
    path: str
    sha256: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class Image:
    """A picture of a run: its file name, its digest, and the arbiter's first five classes."""

    file: str
    sha256: str
    top5: list[int]


@dataclass(frozen=True)
class Row:
    """One runtime's result.

    Parameters
    ----------
    runtime: its name.
    status: ``holds`` or ``broken`` where it ran, ``failed`` where it began and did not end,
        ``not run`` where a package or a device that it needs is not there.
    reason: why it is not ``holds``.
    verdict: the comparison with the arbiter, where it ran.
    record: versions, times and memory, where it was started.
    """

    runtime: str
    status: Literal["holds", "broken", "failed", "not run"]
    reason: str = ""
    verdict: Verdict | None = None
    record: Record | None = None


@dataclass(frozen=True)
class Report:
    """A whole run.

    Parameters
    ----------
    weights: the checkpoint.
    images: the pictures.
    device: where the runtimes ran.
    arbiter_seconds: how long the arbiter took.
    peak_bytes: the most memory of this process, the arbiter's.
    all_required: whether the runtimes were asked for by name, so that one that was not run counts.
    rows: one a runtime, in the order asked for.
    """

    weights: Weights
    images: tuple[Image, ...]
    device: str
    arbiter_seconds: float
    peak_bytes: int
    all_required: bool
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether every runtime that counts is near enough; never where none was compared."""
        compared = [row for row in self.rows if row.status != "not run" or self.all_required]
        return bool(compared) and all(row.status == "holds" for row in compared)

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        names = {status: self._named(status) for status in ("holds", "broken", "failed", "not run")}
        if self.holds:
            count = len(names["holds"])
            runtimes = "1 runtime" if count == 1 else f"{count} runtimes"
            limit = next(row.verdict.limit for row in self.rows if row.verdict is not None)
            return f"Parity holds: {runtimes} within {limit:.0e} of the float64 arbiter."
        if names["broken"]:
            return f"Parity is broken: {', '.join(names['broken'])}."
        if names["failed"]:
            return f"Parity is not shown: {', '.join(names['failed'])} failed."
        if names["holds"]:
            return f"Parity is not shown: {', '.join(names['not run'])} did not run."
        return "Nothing was compared: no runtime could run."

    def _named(self, status: str) -> list[str]:
        return [row.runtime for row in self.rows if row.status == status]


COLUMNS: Final = (
    "runtime",
    "parity",
    "max |error|",
    "relative",
    "top-1",
    "top-5",
    "seconds",
    "peak GB",
)


def table(report: Report) -> list[tuple[str, ...]]:
    """The report's rows as text, in the order of ``COLUMNS``.

    ``max |error|`` is in logits; ``relative`` is that over the image's largest |logit|, the worst
    image counting; ``top-1`` and ``top-5`` count the images on which the arbiter agrees.
    """
    return [_cells(row) for row in report.rows]


def to_json(report: Report) -> dict[str, Any]:
    """The report as a JSON document; numbers that JSON cannot hold are null."""
    return {
        "schema": SCHEMA,
        "holds": report.holds,
        "summary": report.summary,
        "device": report.device,
        "weights": asdict(report.weights),
        "images": [asdict(image) for image in report.images],
        "arbiter": {
            "implementation": "NumPy float64",
            "seconds": report.arbiter_seconds,
            "peak_bytes": report.peak_bytes,
        },
        "rows": [asdict(_finite(row)) for row in report.rows],
    }


def _cells(row: Row) -> tuple[str, ...]:
    verdict, record = row.verdict, row.record
    compared = verdict is not None and verdict.images > 0
    numbers = ("", "", "", "")
    if verdict is not None and compared:
        numbers = (
            f"{verdict.max_error:.1e}",
            f"{verdict.relative_error:.1e}",
            f"{verdict.top1_agreement}/{verdict.images}",
            f"{verdict.top5_agreement}/{verdict.images}",
        )
    costs = ("", "")
    if record is not None and not record.error:
        costs = (f"{sum(record.seconds.values()):.1f}", f"{record.peak_bytes / 1e9:.1f}")
    return (row.runtime, row.status, *numbers, *costs)


def _finite(row: Row) -> Row:
    if row.verdict is None:
        return row
    values = {"max_error": row.verdict.max_error, "relative_error": row.verdict.relative_error}
    nulls: dict[str, Any] = {name: None for name, v in values.items() if not math.isfinite(v)}
    return replace(row, verdict=replace(row.verdict, **nulls))
