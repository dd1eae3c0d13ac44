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
    status: ``holds`` or ``broken`` where it ran, ``failed`` where it should have run and did not,
        ``not run`` where something that it needs is not installed.
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
    rows: one a runtime, in the order asked for.
    """

    weights: Weights
    images: tuple[Image, ...]
    device: str
    arbiter_seconds: float
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether every runtime that was started is near enough; never where none was."""
        started = [row for row in self.rows if row.status != "not run"]
        return bool(started) and all(row.status == "holds" for row in started)

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        started = [row for row in self.rows if row.status != "not run"]
        if not started:
            return "Nothing was compared: no runtime could run."
        if self.holds:
            count = "1 runtime" if len(started) == 1 else f"{len(started)} runtimes"
            return f"Parity holds: {count} within {_limit(self.rows)} of the float64 arbiter."
        broken = ", ".join(row.runtime for row in started if row.status != "holds")
        return f"Parity is broken: {broken}."


COLUMNS: Final = (
    "runtime",
    "parity",
    "max |error|",
    "relative",
    "limit",
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
        "arbiter": {"implementation": "NumPy float64", "seconds": report.arbiter_seconds},
        "rows": [asdict(_finite(row)) for row in report.rows],
    }


def _cells(row: Row) -> tuple[str, ...]:
    verdict, record = row.verdict, row.record
    compared = verdict is not None and verdict.images > 0
    numbers = ("", "", "", "", "")
    if verdict is not None and compared:
        numbers = (
            f"{verdict.max_error:.1e}",
            f"{verdict.relative_error:.1e}",
            f"{verdict.limit:.0e}",
            f"{verdict.top1_agreement}/{verdict.images}",
            f"{verdict.top5_agreement}/{verdict.images}",
        )
    costs = ("", "")
    if record is not None and not record.error:
        costs = (f"{sum(record.seconds.values()):.1f}", f"{record.peak_bytes / 1e9:.1f}")
    return (row.runtime, row.status, *numbers, *costs)


def _limit(rows: tuple[Row, ...]) -> str:
    return next(f"{row.verdict.limit:.0e}" for row in rows if row.verdict is not None)


def _finite(row: Row) -> Row:
    if row.verdict is None:
        return row
    values = {"max_error": row.verdict.max_error, "relative_error": row.verdict.relative_error}
    nulls: dict[str, Any] = {name: None for name, v in values.items() if not math.isfinite(v)}
    return replace(row, verdict=replace(row.verdict, **nulls))
