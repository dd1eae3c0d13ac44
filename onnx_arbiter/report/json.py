"""A report as a JSON document."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from onnx_arbiter.compare import Verdict
from onnx_arbiter.judge.explain import explain_run
from onnx_arbiter.judge.records import Report, Row, Run
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.report.figures import worst_element
from onnx_arbiter.report.table import summary
from vgg16_spec.text import json_text, json_values

SCHEMA: Final = "onnx-arbiter-report/1"


def to_json(report: Report) -> dict[str, Any]:
    """The document as JSON values; a figure that JSON cannot hold, infinity, is null.

    ``schema``, ``holds``, ``summary`` and ``limits`` of R and Z; the report's own fields; for each
    run its name, status, explanation in words, the guilty value, its cause, notes, and a row for
    each value with both verdicts.
    """
    document: dict[str, Any] = json_values(
        {
            "schema": SCHEMA,
            "holds": report.holds,
            "summary": summary(report),
            "model": report.model,
            "mode": report.mode,
            "inputs": report.inputs,
            "limits": {"ratio": LIMITS.ratio.limit, "deviations": LIMITS.deviations.limit},
            "nodes": report.nodes,
            "not_judged": report.not_judged,
            "seconds": report.seconds,
            "peak_bytes": report.peak_bytes,
            "runs": [_run(run) for run in report.runs],
        }
    )
    return document


def text(report: Report) -> str:
    """The same as the text of a file."""
    return json_text(to_json(report)) + "\n"


def _run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "status": run.status,
        "explanation": explain_run(run),
        "guilty": None if run.guilty is None else run.guilty.value,
        "cause": run.cause,
        "notes": run.notes,
        "rows": [_row(row) for row in run.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    values = {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
    verdicts = {name: _verdict(row, values[name]) for name in ("accumulated", "local")}
    return values | verdicts | {"status": row.status}


def _verdict(row: Row, verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    values = dataclasses.asdict(verdict)
    del values["histogram"]
    return values | {"worst": worst_element(row, verdict)}
