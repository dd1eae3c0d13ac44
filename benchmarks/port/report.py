"""What ``benchmarks.port`` measured, as figures, as Markdown and as one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from benchmarks.export.targets import GB, Verdict
from benchmarks.harness.measure import Outcome, Span

_MOST_OF_UNITS: Final = 1.5
_MOST_MEMORY: Final = 0.25 * GB
_ABSENT: Final = "–"


class Direction(NamedTuple):
    """From one format to another."""

    source: str
    target: str

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.source} to {self.target}"


@dataclass
class Row:
    """One direction's measurements.

    Attributes:
        direction: which.
        source_bytes: the size of the file that is ported.
        ports, units, naive: one outcome for each process; ``naive`` of the main directions only.
        error: why there was no file to port; empty where there was.
    """

    direction: Direction
    source_bytes: int = 0
    ports: list[Outcome] = field(default_factory=list)
    units: list[Outcome] = field(default_factory=list)
    naive: list[Outcome] = field(default_factory=list)
    error: str = ""

    @property
    def copy(self) -> float | None:
        """The shortest time of a plain copy of the source, on the disk."""
        return seconds(self.units, "copy")

    @property
    def permutation(self) -> float | None:
        """The shortest time of the permutation in memory; 0 where none is needed."""
        return None if self.copy is None else seconds(self.units, "permutation") or 0.0

    @property
    def ratio(self) -> float | None:
        """The port's time over that of the copy and the permutation, of the shortest."""
        own, copy, permutation = seconds(self.ports), self.copy, self.permutation
        if own is None or copy is None or permutation is None:
            return None
        return own / (copy + permutation)

    @property
    def errors(self) -> list[str]:
        """What failed."""
        told = {"port": self.ports, "units": self.units, "naive": self.naive}
        found = [f"{what}: {o.error}" for what, outcomes in told.items() for o in outcomes]
        failed = [line for line in found if not line.endswith(": ")]
        return list(dict.fromkeys([*([self.error] if self.error else []), *failed]))


@dataclass(frozen=True)
class Results:
    """All of it: the network, what it was measured on, how many times, and the directions."""

    configuration: str
    repeats: int
    machine: dict[str, str]
    rows: list[Row]


def seconds(outcomes: Sequence[Outcome], span: str = "port") -> float | None:
    """The shortest time of a span, if it was ever finished."""
    return _of(outcomes, span, min, lambda found: found.seconds)


def anonymous(outcomes: Sequence[Outcome]) -> float | None:
    """The largest peak of a port's memory above its start, mapped files not counted, in bytes."""
    return _of(outcomes, "port", max, lambda found: found.above.anonymous)


def resident(outcomes: Sequence[Outcome]) -> float | None:
    """The same with the pages of mapped files."""
    return _of(outcomes, "port", max, lambda found: found.above.resident)


def _of(
    outcomes: Sequence[Outcome],
    span: str,
    choose: Callable[[list[float]], float],
    figure: Callable[[Span], float],
) -> float | None:
    found = [figure(o.spans[span]) for o in outcomes if not o.error and span in o.spans]
    return choose(found) if found else None


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Two targets for each direction."""
    found = []
    for row in rows:
        title, memory = row.direction.title, anonymous(row.ports)
        in_gb = None if memory is None else memory / GB
        found += [
            Verdict(f"{title}: time over copy and permutation", row.ratio, _MOST_OF_UNITS),
            Verdict(f"{title}: memory above imports", in_gb, _MOST_MEMORY / GB, "GB"),
        ]
    return found


def markdown(results: Results) -> str:
    """The whole report."""
    count = results.repeats
    parts = [
        f"# Porting configuration {results.configuration}: time and memory",
        f"Seeded weights. Of {count} process{'es' if count > 1 else ''} each the shortest time and "
        "the largest memory. What each column counts: `python -m pydoc benchmarks.port.bench`.",
        "\n".join(f"- {name}: {fact}" for name, fact in results.machine.items()),
        "## Ports",
        _ports(results.rows),
        *_naive(results.rows),
        "## Targets",
        _targets(results.rows),
        *(f"{row.direction.title} failed: {e}." for row in results.rows for e in row.errors),
    ]
    return "\n\n".join(parts) + "\n"


def document(results: Results) -> dict[str, Any]:
    """Every figure, and the raw measurements that it is from."""
    return {
        "configuration": results.configuration,
        "repeats": results.repeats,
        "machine": results.machine,
        "directions": {row.direction.title: _row_document(row) for row in results.rows},
        "targets": [asdict(v) | {"verdict": v.word} for v in verdicts(results.rows)],
    }


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "source_bytes": row.source_bytes,
        "port_seconds": seconds(row.ports),
        "copy_seconds": row.copy,
        "permutation_seconds": row.permutation,
        "ratio": row.ratio,
        "anonymous_above_bytes": anonymous(row.ports),
        "resident_above_bytes": resident(row.ports),
        "naive_seconds": seconds(row.naive),
        "naive_anonymous_above_bytes": anonymous(row.naive),
        "naive_resident_above_bytes": resident(row.naive),
        "errors": row.errors,
        "outcomes": {
            "port": [asdict(outcome) for outcome in row.ports],
            "units": [asdict(outcome) for outcome in row.units],
            "naive": [asdict(outcome) for outcome in row.naive],
        },
    }


def _ports(rows: Sequence[Row]) -> str:
    header = [
        *("direction", "source, MB", "port, s", "copy, s", "permutation, s", "ratio"),
        "peak above imports, GB",
    ]
    lines = [
        [
            row.direction.title,
            _number(row.source_bytes or None, 1, 1e6),
            _number(seconds(row.ports)),
            _number(row.copy),
            _number(row.permutation),
            _number(row.ratio),
            _number(anonymous(row.ports), 3, GB),
        ]
        for row in rows
    ]
    return _table(header, lines)


def _naive(rows: Sequence[Row]) -> list[str]:
    header = ["direction", "naive, s", "over our port", "peak above imports, GB", "over our peak"]
    lines = []
    for row in rows:
        if row.naive:
            time, memory = seconds(row.naive), anonymous(row.naive)
            lines.append(
                [
                    row.direction.title,
                    _number(time),
                    _number(_ratio(time, seconds(row.ports)), 1),
                    _number(memory, 3, GB),
                    _number(_ratio(memory, anonymous(row.ports)), 1),
                ]
            )
    if not lines:
        return []
    said = "Through the other framework's model, Keras on PyTorch (`KERAS_BACKEND=torch`)."
    return ["## The naive way", said, _table(header, lines)]


def _targets(rows: Sequence[Row]) -> str:
    lines = [
        [
            verdict.target,
            f"{_number(verdict.measured, 3)} {verdict.unit}".strip()
            if verdict.measured is not None
            else _ABSENT,
            f"{verdict.limit:.3f} {verdict.unit}".strip(),
            verdict.word,
        ]
        for verdict in verdicts(rows)
    ]
    return _table(["target", "measured", "at most", "verdict"], lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, digits: int = 2, scale: float = 1) -> str:
    return _ABSENT if value is None else f"{value / scale:.{digits}f}"


def _ratio(figure: float | None, unit: float | None) -> float | None:
    return figure / unit if figure is not None and unit else None
