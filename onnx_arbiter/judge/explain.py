"""A report in words."""

from __future__ import annotations

import re
from typing import Final

from onnx_arbiter.judge.records import Report, Row, Run
from onnx_arbiter.models.onnx_file import printable
from vgg16_spec.errors import counted

# 1,000 to 10 million, as verdicts have them.
_THOUSANDS: Final = re.compile(r"[0-9](\.[0-9]+)?e\+0[3-6]")


def explain(report: Report) -> str:
    """One line for each run."""
    return "\n".join(explain_run(run) for run in report.runs)


def explain_run(run: Run) -> str:
    """``onnxruntime: broken. Conv conv1: alone, errors are 8,400 times the predicted size``."""
    start = f"{printable(run.name)}: {run.status}"
    if run.status == "not judged":
        reasons = sorted({row.why for row in run.rows if row.why})
        return f"{start}: {reasons[0]}" if reasons else f"{start}: nothing was compared"
    if run.guilty is None:
        largest = f"R {run.worst_ratio:.2f}, Z {run.worst_deviations:.2f}"
        return f"{start} within rounding ({largest}, {counted(len(run.rows), 'value')})"
    return f"{start}. {explain_row(run.guilty)}{f', {run.cause}' if run.cause else ''}"


def explain_row(row: Row) -> str:
    """What is wrong with a value: its node's operator and name, and the failed verdict."""
    node = f"{row.operator} {printable(row.node)}"
    if row.local is not None and not row.local.passed:
        return f"{node}: alone, {readable(row.local.reason)}"
    assert row.accumulated is not None
    return f"{node}: {readable(row.accumulated.reason)}"


def readable(reason: str) -> str:
    """A verdict's reason with ``8,400`` for ``8.4e+03``."""
    return _THOUSANDS.sub(lambda found: f"{float(found[0]):,.0f}", reason)
