"""A report as one self-contained page of HTML: no script, no font, no other file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.metadata import distributions

from onnx_arbiter.compare import Verdict
from onnx_arbiter.judge.explain import explain_run, readable
from onnx_arbiter.judge.records import Report
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.report.figures import figure, worst_element
from onnx_arbiter.report.page import page_environment
from onnx_arbiter.report.table import COLUMNS, TEXT_COLUMNS, remarks, summary, table
from vgg16_spec.text import visible


def page(report: Report) -> str:
    """The page, as text."""
    environment = page_environment("onnx_arbiter.report")
    environment.filters |= {
        "figure": figure,
        "readable": readable,
        "error": _error,
        "sizes": _sizes,
    }
    text = environment.get_template("report.html.j2").render(
        report=report,
        summary=summary(report),
        columns=COLUMNS,
        text_columns=TEXT_COLUMNS,
        rows=list(zip(report.runs, table(report), strict=True)),
        remarks=remarks(report),
        explain=explain_run,
        element=worst_element,
        shown_verdict=_shown,
        limits=LIMITS,
        version=next((found.version for found in distributions(name="vgg16-parity")), ""),
    )
    return visible(text, keep="\n") + "\n"


def _sizes(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def _error(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1e}" if value else "0"


def _shown(accumulated: Verdict | None, local: Verdict | None) -> Verdict | None:
    """The verdict whose worst element is shown: the failed one, that of the node alone first."""
    found = [verdict for verdict in (local, accumulated) if verdict is not None]
    failed = [verdict for verdict in found if not verdict.passed]
    return next(iter(failed or found), None)
