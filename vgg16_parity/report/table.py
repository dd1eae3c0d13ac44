"""A report as a table and as lines of text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, get_args

from vgg16_parity.records import Report, Row, Status
from vgg16_parity.report.coverage import alike, exercised, lacking, least, percent

COLUMNS: Final = ("runtime", "parity", "lane", "R", "Z", "alone", "|error|", "top-1", "s", "GB")
TEXT_COLUMNS: Final = 3


def table(report: Report) -> list[tuple[str, ...]]:
    """The rows as text, in the order of ``COLUMNS``.

    ``R`` (rms error over rms predicted) and ``Z`` (largest error in predicted standard deviations)
    are those of the worst tap; ``alone`` is R of the worst layer on an input of its own, the
    arbiter's or a dense one;
    ``|error|`` is the largest of any logit; ``top-1`` counts the images with the arbiter's top
    class; ``s`` and ``GB`` are the worker processes' seconds and peak memory.
    """
    return [_cells(row) for row in report.rows]


def summary(report: Report) -> str:
    """The outcome in one line."""
    names = {s: [row.name for row in report.rows if row.status == s] for s in get_args(Status)}
    if report.holds:
        runs = "1 run" if len(names["holds"]) == 1 else f"{len(names['holds'])} runs"
        coverage = least(report)
        share = percent(coverage.share) if coverage else ""
        inputs = f"; the inputs exercise {share} of the weights" if share else ""
        return f"Parity holds: {runs} within the errors predicted of the float64 arbiter{inputs}."
    if broken := names["broken"]:
        return f"Parity is broken: {', '.join(broken)}."
    if failed := names["failed"]:
        return f"Parity is not shown: {', '.join(failed)} failed."
    if names["holds"]:
        required = [r.name for r in report.rows if r.status == "not run" and report.counts(r)]
        lacking = required or names["not run"]  # of both devices, one runs nothing
        return f"Parity is not shown: {', '.join(lacking)} did not run."
    return "Nothing was compared: no runtime could run."


def remarks(report: Report) -> list[str]:
    """A line for every row that does not hold, and for what is worth knowing of the others."""
    lines = []
    rows_of: dict[str, list[str]] = defaultdict(list)
    for row in report.rows:
        for note in row.notes:
            rows_of[note].append(row.name)
    with_gradients = any(row.gradients for row in report.rows)
    for row in report.rows:
        if row.reason:
            lines.append(f"{row.name} {row.status}: {row.reason}")
        lines += [f"{row.name}: {note}" for note in row.notes if len(rows_of[note]) == 1]
        if row.record is not None and row.record.repeats == "differs":
            first = row.record.differs_from
            lines.append(f"{row.name}: a second run gave other bits from {first} on")
        if row.beside_cpu:
            difference = _worst(row.worst("beside cpu").values())
            lines.append(f"{row.name}: difference from the CPU: {difference} of what is predicted")
        if with_gradients and row.cases:
            lines.append(f"{row.name}: {_gradients(row)}")
    # What is true of several rows is one line.
    lines += [f"{', '.join(names)}: {note}" for note, names in rows_of.items() if len(names) > 1]
    return lines + _coverages(report)


def _coverages(report: Report) -> list[str]:
    """The tensors that the inputs of each row do not exercise enough."""
    return [
        f"{', '.join(names)}: the inputs exercise {exercised(coverage)}"
        for names, coverage in alike(report)
        if lacking(coverage)
    ]


def _gradients(row: Row) -> str:
    if not row.gradients:
        return "gradients were not compared"
    gradients = row.worst("gradient").values()
    stepped = [*row.worst("parameter").values(), *row.worst("velocity").values()]
    return (
        f"gradients of {len(row.gradients)} tensors: {_worst(gradients)}; "
        f"after a step of SGD: {_worst(stepped)}"
    )


def _worst(figures: Iterable[tuple[float, float]]) -> str:
    ratio, deviations = map(max, zip((0.0, 0.0), *figures, strict=True))
    return f"R {_short(ratio)} and Z {_short(deviations)}"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = deviations = local = error = agreed = seconds = memory = ""
    if worst := row.worst("accumulated").values():
        ratio, deviations = (_short(max(figures)) for figures in zip(*worst, strict=True))
    if alone := [*row.worst("local").values(), *row.worst("probe").values()]:
        local = _short(max(figure for figure, _ in alone))
    if decisions := [decision for case in row.cases for decision in case.decisions]:
        error = f"{max(decision.largest_error for decision in decisions):.1e}"
        same = sum(decision.top1 == decision.arbiter_top1 for decision in decisions)
        agreed = f"{same}/{len(decisions)}"
    # A row that was taken from another lane's has no cost of its own.
    if row.record is not None and row.record.seconds and not row.record.error:
        seconds = f"{sum(row.record.seconds.values()):.0f}"
        memory = f"{row.record.peak_bytes / 1e9:.1f}"
    figures = (ratio, deviations, local, error, agreed, seconds, memory)
    return (row.runtime, row.status, row.setting, *figures)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.1e}"
