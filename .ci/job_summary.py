"""Print a report of ``onnx-arbiter --json`` or ``vgg16 parity --json`` as Markdown for a CI job.

Usage: python .ci/job_summary.py REPORT.json STATUS, where STATUS is how the command ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from vgg16_spec.text import markdown_code

_OUTCOMES = {0: "within rounding", 1: "a mistake, or nothing was judged"}


def summary(document: dict[str, Any], status: int) -> str:
    """A heading with the outcome, and a line for each run; foreign text is shown as code."""
    lines = [f"## onnx-arbiter: {_OUTCOMES.get(status, 'not run')}", ""]
    if not document:
        return "\n".join([*lines, "There is no report: the job's log says why."])
    if "model" in document and isinstance(document["model"], str):
        lines += [f"{markdown_code(document['model'])}, {document['mode']}", ""]
    for run in document.get("runs", ()):
        lines.append(f"- {markdown_code(run['explanation'])}")
        lines += [f"  - {markdown_code(note)}" for note in run["notes"]]
    for row in document.get("rows", ()):
        reason = row.get("first_wrong") or row.get("reason") or ""
        said = f": {markdown_code(reason)}" if reason else ""
        lines.append(f"- **{row['status']}**: {markdown_code(row['runtime'])}{said}")
    return "\n".join(lines)


def main(report: str, status: str) -> None:
    """Print the summary of a report; a command that was refused left none."""
    text = Path(report).read_text(encoding="utf-8")
    print(summary(json.loads(text) if text.strip() else {}, int(status)))


if __name__ == "__main__":
    main(*sys.argv[1:])
