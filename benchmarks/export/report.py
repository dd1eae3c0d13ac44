"""The results of ``benchmarks.export`` as Markdown and as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from benchmarks.export.results import Results, Row
from benchmarks.export.targets import GB, verdicts

_ABSENT: Final = "–"
_BATCHES: Final = (1, 8)


def markdown(results: Results) -> str:
    """The whole report."""
    peer = f"torchvision's `{results.peer}`" if results.peer else "a module like torchvision's"
    parts = [
        f"# Exporting configuration {results.configuration}: time, memory, files",
        f"Weights: {results.weights_bytes / 1e6:.1f} MB, seeded. PyTorch's own routes export "
        f"{peer}. Peers hold their model, weights loaded, before the clock starts. What each "
        "column counts: `python -m pydoc benchmarks.export.bench`.",
        _list(results.machine),
        "## Export",
        _exports(results),
        *_remarks(results),
        "## Files",
        _files(results),
        _unrest(results),
        *(f"Latency was not measured: {error}." for error in results.latency.errors()),
        "## Targets",
        _targets(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def document(results: Results) -> dict[str, Any]:
    """Every figure, and the raw measurements that it is from."""
    return {
        "configuration": results.configuration,
        "weights_bytes": results.weights_bytes,
        "machine": results.machine,
        "exports": {name: _row_document(row) for name, row in results.rows.items()},
        "sessions": {
            name: {
                "open_seconds": results.session(name, "open"),
                "first_run_seconds": results.session(name, "first"),
                "outcomes": [asdict(outcome) for outcome in outcomes],
            }
            for name, outcomes in results.sessions.items()
        },
        "latency": {
            "reference": results.latency.reference,
            "against_fastest_peer": {
                name: {b: results.against_fastest_peer(name, b) for b in _BATCHES}
                for name in results.sessions
            },
            "groups": [
                {"files": files, "outcome": asdict(outcome)}
                for files, outcome in results.latency.groups
            ],
        },
        "targets": [asdict(verdict) | {"verdict": verdict.word} for verdict in verdicts(results)],
    }


def failed(results: Results) -> bool:
    """Whether anything but a slow route could not be measured."""
    return (
        any(row.error and not row.route.slow for row in results.rows.values())
        or any(outcome.error for outcomes in results.sessions.values() for outcome in outcomes)
        or bool(results.latency.errors())
    )


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "title": row.route.title,
        "side": row.route.side,
        "error": row.error,
        "seconds": row.seconds,
        "resident_above_bytes": row.resident,
        "anonymous_above_bytes": row.anonymous,
        "process_seconds": row.process_seconds,
        "process_peak_bytes": row.process_peak,
        "written_bytes": row.written,
        "sha256": row.digest,
        "imported_while_timed": row.late,
        "outcomes": [asdict(outcome) for outcome in row.outcomes],
    }


def _list(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, digits: int = 2, scale: float = 1) -> str:
    return _ABSENT if value is None else f"{value / scale:.{digits}f}"


def _exports(results: Results) -> str:
    one_file = results.seconds("peer-torch-file")
    header = [
        *("route", "time, s", "over PyTorch's one file", "peak above, GB"),
        *("anonymous above, GB", "process, s", "process peak, GB", "written, MB"),
    ]
    lines = []
    for row in results.rows.values():
        ratio = row.seconds / one_file if row.seconds is not None and one_file else None
        lines.append(
            [
                row.route.title + (f" ({row.error})" if row.error else ""),
                _number(row.seconds),
                _number(ratio),
                _number(row.resident, 3, GB),
                _number(row.anonymous, 3, GB),
                _number(row.process_seconds, 1),
                _number(row.process_peak, 2, GB),
                _number(row.written, 2, 1e6) if row.written else _ABSENT,
            ]
        )
    return _table(header, lines)


def _remarks(results: Results) -> list[str]:
    remarks = []
    shared = [row for name, row in results.rows.items() if name.endswith("shared") and row.digest]
    if len(shared) > 1:
        same = len({row.digest for row in shared}) == 1
        word = "the same, byte for byte" if same else "**not all the same**"
        remarks.append(f"The {len(shared)} graphs that this project wrote as shared are {word}.")
    late = {name: len(row.late) for name, row in results.rows.items() if row.late}
    if late:
        counts = ", ".join(f"{name} {number}" for name, number in late.items())
        remarks.append(f"Modules imported while the clock ran all the same: {counts}.")
    return remarks


def _files(results: Results) -> str:
    header = [
        *("file", "session opened, s", "first run, s", "peak above, GB", "anonymous above, GB"),
        *("batch 1, ms", "over fastest peer", "batch 8, ms", "over fastest peer"),
        "difference of logits",
    ]
    lines = []
    for name in results.sessions:
        above = results.session_memory(name)
        difference = results.latency.difference(name)
        cells = [
            results.rows[name].route.title,
            _number(results.session(name, "open"), 3),
            _number(results.session(name, "first"), 3),
            _number(above[0] if above else None, 2, GB),
            _number(above[1] if above else None, 2, GB),
        ]
        for batch in _BATCHES:
            cells.append(_number(results.latency.median(name, batch), 1, 1e-3))
            cells.append(_number(results.against_fastest_peer(name, batch), 3))
        cells.append(_ABSENT if difference is None else f"{difference:.1e}")
        lines.append(cells)
    return _table(header, lines) if lines else ""


def _unrest(results: Results) -> str:
    """How much the same file's time varied, for a reader to judge the others' differences by."""
    found = {batch: results.latency.unrest(batch) for batch in _BATCHES}
    told = [f"{ratio:.2f} at batch {batch}" for batch, ratio in found.items() if ratio]
    if not told:
        return ""
    title = results.rows[results.latency.reference].route.title
    return f"Slowest run over fastest of one file ({title}): {', '.join(told)}."


def _targets(results: Results) -> str:
    lines = [
        [
            verdict.target,
            f"{_number(verdict.measured, 3)} {verdict.unit}".strip(),
            f"{verdict.limit:.3f} {verdict.unit}".strip(),
            verdict.word,
        ]
        for verdict in verdicts(results)
    ]
    return _table(["target", "measured", "at most", "verdict"], lines)
