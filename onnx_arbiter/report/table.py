"""A report as a table and lines of text."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.judge.explain import explain_run
from onnx_arbiter.judge.records import Report, Run
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.report.figures import figure, reasons_not_alone, worst
from vgg16_spec.errors import counted

COLUMNS: Final = ("run", "status", "worst value", "R", "Z", "judged", "alone", "not judged")
TEXT_COLUMNS: Final = 3
# Of a name in the table, and of reasons in a line.
_LONGEST: Final = 40
_MOST_REASONS: Final = 5


def table(report: Report) -> list[tuple[str, ...]]:
    """The runs as text, in the order of ``COLUMNS``.

    ``R`` (rms error over rms predicted) and ``Z`` (largest error in predicted standard deviations)
    are those of the worst value: where a run goes wrong first, or what is nearest to a limit.
    ``judged`` counts values after all nodes so far, ``alone`` those of nodes judged alone.
    """
    return [_cells(run) for run in report.runs]


def _cells(run: Run) -> tuple[str, ...]:
    found = worst(run)
    where = "" if found is None else _short(printable(found.row.value))
    figures = () if found is None else (found.verdict.ratio, found.verdict.deviations)
    ratio, deviations = map(figure, figures) if figures else ("", "")
    counts = (
        sum(row.accumulated is not None for row in run.rows),
        sum(row.local is not None for row in run.rows),
        sum(row.status == "not judged" for row in run.rows),
    )
    return (run.name, run.status, where, ratio, deviations, *map("{:,}".format, counts))


def _short(name: str) -> str:
    """A name, of which the end tells most."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def remarks(report: Report) -> list[str]:
    """A sentence for each run that does not hold, notes, and what was not judged and why."""
    lines = [explain_run(run) for run in report.runs if run.status != "holds"]
    lines += [f"{run.name}: {note}" for run in report.runs for note in run.notes]
    return lines + not_judged(report)


def not_judged(report: Report) -> list[str]:
    """``not judged: 12 values: NonZero has no rule``, and the same of nodes judged alone."""
    alone = dict[str, int]()
    for run in report.runs:
        for why, count in reasons_not_alone(run).items():
            alone[why] = max(count, alone.get(why, 0))
    return [*_told("not judged", report.not_judged), *_told("not judged alone", alone)]


def _told(what: str, found: dict[str, int]) -> list[str]:
    ordered = sorted(found.items(), key=lambda each: -each[1])
    lines = [f"{what}: {counted(count, 'value')}: {printable(why)}" for why, count in ordered]
    if len(lines) <= _MOST_REASONS:
        return lines
    rest = [count for _, count in ordered[_MOST_REASONS:]]
    more = f"{what}: {counted(sum(rest), 'value')} for {counted(len(rest), 'other reason')}"
    return [*lines[:_MOST_REASONS], more]


def summary(report: Report) -> str:
    """The outcome in one line."""
    broken = [run.name for run in report.runs if run.status == "broken"]
    if broken:
        return f"Beyond rounding: {'; '.join(broken)}."
    if report.holds:
        held = sum(run.status == "holds" for run in report.runs)
        return f"Within rounding: {counted(held, 'run')} judged by the float64 arbiter."
    return "Nothing was judged."
