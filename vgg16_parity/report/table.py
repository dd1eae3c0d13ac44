"""A report as a table and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import Report, Row

COLUMNS: Final = (
    "runtime",
    "parity",
    "lane",
    "R",
    "Z",
    "alone",
    "|error|",
    "top-1",
    "s",
    "GB",
)
TEXT_COLUMNS: Final = 3


def table(report: Report) -> list[tuple[str, ...]]:
    """The report's rows as text, in the order of ``COLUMNS``.

    ``R`` (rms error over rms predicted) and ``Z`` (largest error in predicted standard deviations)
    are of the worst tap, ``alone`` is R of the worst layer by itself; ``|error|`` is the largest of
    a logit; ``top-1`` counts the images whose first class the arbiter agrees on; ``s`` and ``GB``
    are the worker processes' seconds and peak memory.
    """
    return [_cells(row) for row in report.rows]


def remarks(report: Report) -> list[str]:
    """A line for every row that does not hold, and for what is worth knowing of those that do."""
    lines = []
    with_gradients = any(row.gradients for row in report.rows)
    for row in report.rows:
        if row.reason:
            lines.append(f"{row.name} {row.status}: {row.reason}")
        lines += [f"{row.name}: {case.case}: {note}" for case in row.cases for note in case.notes]
        if row.record is not None and row.record.repeats == "differs":
            first = row.record.differs_from
            lines.append(f"{row.name}: the same run twice gave other bits, from {first} on")
        if row.beside_cpu:
            lines.append(f"{row.name}: {_beside(row)}")
        if with_gradients and row.cases:
            lines.append(f"{row.name}: {_gradients(row)}")
    return lines


def _gradients(row: Row) -> str:
    """The worst tensors of the backward pass and of the step of SGD."""
    if not row.gradients:
        return "no gradients are compared"
    after = [each for one in row.gradients for each in (one.parameter, one.velocity) if each]
    return (
        f"gradients of {len(row.gradients)} tensors, "
        f"{_worst(one.gradient for one in row.gradients)}; after a step of SGD, {_worst(after)}"
    )


def _beside(row: Row) -> str:
    """The worst tap of a run on the GPU beside the CPU's."""
    verdicts = [layer.accumulated for case in row.beside_cpu for layer in case.layers]
    return f"beside the CPU, {_worst(verdicts)} of what both may differ by"


def _worst(verdicts: Iterable[Verdict]) -> str:
    """The largest R and the largest Z."""
    pairs = [(verdict.ratio, verdict.deviations) for verdict in verdicts] or [(0.0, 0.0)]
    ratio, deviations = map(max, zip(*pairs, strict=True))
    return f"R {_short(ratio)} and Z {_short(deviations)}"


def _cells(row: Row) -> tuple[str, ...]:
    numbers = [""] * 5
    accumulated, local = row.worst("accumulated"), row.worst("local")
    decisions = [decision for case in row.cases for decision in case.decisions]
    if accumulated:
        numbers[0] = _short(max(ratio for ratio, _ in accumulated.values()))
        numbers[1] = _short(max(deviations for _, deviations in accumulated.values()))
    if local:
        numbers[2] = _short(max(ratio for ratio, _ in local.values()))
    if decisions:
        numbers[3] = f"{max(decision.largest_error for decision in decisions):.1e}"
        first = sum(decision.top1 == decision.arbiter_top1 for decision in decisions)
        numbers[4] = f"{first}/{len(decisions)}"
    costs = ("", "")
    if row.record is not None and not row.record.error:
        costs = (f"{sum(row.record.seconds.values()):.0f}", f"{row.record.peak_bytes / 1e9:.1f}")
    return (row.runtime, row.status, row.setting, *numbers, *costs)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.1e}"
