"""The results of ``benchmarks.export`` as Markdown and as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from benchmarks.export.results import Results, RouteCost
from benchmarks.export.targets import targets
from benchmarks.harness.tables import ABSENT, GB, MB, number, page, provenance, ratio, table
from benchmarks.harness.targets import target_documents, target_table

_BATCHES: Final = (1, 8)


def markdown(results: Results, command: str) -> str:
    """The page; ``command`` is the one that measured."""
    peer = f"torchvision's `{results.peer}`" if results.peer else "a module like torchvision's"
    return page(
        [
            f"# Exporting configuration {results.configuration}: time, memory, files",
            _exports(results),
            *_remarks(results),
            "## Files",
            _files(results),
            _noise(results),
            *(f"Latency was not measured: {error}." for error in results.latency.errors()),
            "## Targets",
            target_table(targets(results)),
            provenance(command, results.machine),
            f"Weights: {results.weights_bytes / MB:.1f} MB, seeded. PyTorch's own routes export "
            f"{peer}. `python -m benchmarks.export --help` explains each column.",
        ]
    )


def document(results: Results) -> dict[str, Any]:
    """Every figure, and the measurements behind it."""
    return {
        "configuration": results.configuration,
        "weights_bytes": results.weights_bytes,
        "machine": results.machine,
        "exports": {name: _cost_document(cost) for name, cost in results.routes.items()},
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
        "targets": target_documents(targets(results)),
    }


def failed(results: Results) -> bool:
    """Whether a measurement failed, slow routes aside."""
    return (
        any(cost.error and not cost.route.slow for cost in results.routes.values())
        or any(outcome.error for outcomes in results.sessions.values() for outcome in outcomes)
        or bool(results.latency.errors())
    )


def _cost_document(cost: RouteCost) -> dict[str, Any]:
    return {
        "title": cost.route.title,
        "side": cost.route.side,
        "error": cost.error,
        "seconds": cost.seconds,
        "resident_above_bytes": cost.resident,
        "anonymous_above_bytes": cost.anonymous,
        "process_seconds": cost.process_seconds,
        "process_peak_bytes": cost.process_peak,
        "written_bytes": cost.written,
        "sha256": cost.digest,
        "imported_while_timed": cost.late,
        "outcomes": [asdict(outcome) for outcome in cost.outcomes],
    }


def _exports(results: Results) -> str:
    one_file = results.seconds("peer-torch-file")
    header = [
        *("route", "time, s", "over PyTorch's one file", "peak above, GB"),
        *("anonymous above, GB", "process, s", "process peak, GB", "written, MB"),
    ]
    lines = [
        [
            cost.route.title + (f" ({cost.error})" if cost.error else ""),
            number(cost.seconds),
            number(ratio(cost.seconds, one_file)),
            number(cost.resident, 3, GB),
            number(cost.anonymous, 3, GB),
            number(cost.process_seconds, 1),
            number(cost.process_peak, 2, GB),
            number(cost.written or None, 2, MB),
        ]
        for cost in results.routes.values()
    ]
    return table(header, lines)


def _remarks(results: Results) -> list[str]:
    remarks = []
    costs = results.routes.items()
    digests = [cost.digest for name, cost in costs if name.endswith("shared") and cost.digest]
    if len(digests) > 1:
        word = "equal byte for byte" if len(set(digests)) == 1 else "**not all equal**"
        remarks.append(f"The {len(digests)} graphs that this project wrote as shared are {word}.")
    late = ", ".join(f"{name} {len(cost.late)}" for name, cost in costs if cost.late)
    if late:
        remarks.append(f"Modules still imported while the clock ran: {late}.")
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
            results.routes[name].route.title,
            number(results.session(name, "open"), 3),
            number(results.session(name, "first"), 3),
            number(above[0] if above else None, 2, GB),
            number(above[1] if above else None, 2, GB),
        ]
        for batch in _BATCHES:
            cells.append(number(results.latency.median(name, batch), 1, 1e-3))
            cells.append(number(results.against_fastest_peer(name, batch), 3))
        cells.append(ABSENT if difference is None else f"{difference:.1e}")
        lines.append(cells)
    return table(header, lines) if lines else ""


def _noise(results: Results) -> str:
    """How much one file's time varied, to judge the differences between files by."""
    found = {batch: results.latency.noise(batch) for batch in _BATCHES}
    ratios = ", ".join(f"{noise:.2f} at batch {batch}" for batch, noise in found.items() if noise)
    if not ratios:
        return ""
    title = results.routes[results.latency.reference].route.title
    return f"Slowest run over fastest of one file ({title}): {ratios}."
