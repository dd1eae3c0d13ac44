"""The page of ``benchmarks.cuda``: tables of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Final

from benchmarks.cuda.results import Results, Throughput, worst_figures
from benchmarks.harness.tables import page, provenance, table
from benchmarks.harness.targets import target_table
from vgg16_parity.records import Report, Row

_PARITY: Final = (
    *("runtime", "lane", "parity", "R", "Z", "largest logit error", "top-1", "repeats"),
    *("beside the CPU: R, Z", "why not"),
)
_ROOFLINE: Final = ("mode", "matrix product, TFLOP/s", "roofline, images/s")
_SPEED: Final = ("runtime", "lane", "batch", "images/s", "of the roofline", "why not")


def markdown(results: Results, command: str, pictures: Mapping[str, str]) -> str:
    """The measured part of the page.

    Args:
        results: what was measured.
        command: the command that measured it.
        pictures: file -> what it shows.
    """
    speed = (_speed(each, results) for each in results.throughput)
    rates = (
        (mode, f"{rate / 1e12:.3g}", f"{rate / results.operations:.4g}")
        for mode, rate in results.rates.items()
    )
    parts = [
        f"**The run was stopped {results.stopped}**; this is what it had measured by then."
        if results.stopped
        else "",
        "### Targets",
        target_table(results.targets),
        "### Parity",
        table(_PARITY, map(_parity, results.report.rows), words=3),
        *(f"![{shown}]({name})" for name, shown in pictures.items()),
        "### Throughput",
        table(_SPEED, speed, words=2) if results.throughput else "Nothing was measured.",
        f"One image takes {results.operations / 1e9:.3g} GFLOP ({results.configuration}).",
        table(_ROOFLINE, rates) if results.rates else "",
        *_layers(results.report, results.device),
        provenance(command, results.facts, level=3),
    ]
    return page(parts)


def _parity(row: Row) -> tuple[str, ...]:
    about = (row.runtime, row.setting, row.status)
    worst = worst_figures(row)
    if worst is None:
        return (*about, *[""] * 6, row.reason)
    decisions = [decision for case in row.cases for decision in case.decisions]
    error = max((decision.largest_error for decision in decisions), default=0.0)
    first = sum(decision.top1 == decision.arbiter_top1 for decision in decisions)
    numbers = (f"{worst[0]:.2f}", f"{worst[1]:.1f}", f"{error:.1e}", f"{first}/{len(decisions)}")
    repeats = row.record.repeats if row.record is not None else ""
    return (*about, *numbers, repeats, _beside(row), row.reason)


def _beside(row: Row) -> str:
    found = [layer.accumulated for case in row.beside_cpu for layer in case.layers]
    if not found:
        return ""
    return f"{max(v.ratio for v in found):.2f}, {max(v.deviations for v in found):.1f}"


def _layers(report: Report, device: str) -> list[str]:
    """For each runtime, the rms error of every tap in every lane, beside the prediction."""
    parts: list[str] = []
    compared = [row for row in report.rows if worst_figures(row) and row.device == device]
    by_runtime = attrgetter("runtime")
    for runtime, group in groupby(sorted(compared, key=by_runtime), by_runtime):
        rows = list(group)
        columns = [{layer.tap: layer.accumulated for layer in row.cases[0].layers} for row in rows]
        lines = (
            (tap, *(f"{column[tap].rms_error:.1e} ({column[tap].ratio:.2f})" for column in columns))
            for tap in columns[0]
            if all(tap in column for column in columns)
        )
        parts += [
            f"### Layers: {runtime}",
            "The rms error and, in brackets, its ratio to the prediction.",
            table(("layer", *(row.lane for row in rows)), lines),
        ]
    return parts


def _speed(one: Throughput, results: Results) -> tuple[str, ...]:
    about = (one.runtime, one.lane, str(one.batch or ""))
    if not one.rate:
        return (*about, "", "", one.reason)
    peak = results.rates.get(one.mode, 0.0)
    part = f"{one.rate * results.operations / peak:.0%}" if peak else ""
    return (*about, f"{one.rate:.4g}", part, "")
