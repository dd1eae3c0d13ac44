"""Figures of a report for people, and where a run is worst."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from onnx_arbiter.compare import Verdict
from onnx_arbiter.judge.records import Row, Run
from onnx_arbiter.limits import LIMITS

# From here on, digits before the point say no more than the power of ten.
_MANY = 1e6


class Worst(NamedTuple):
    """The verdict of a run that is furthest beyond its limits, or nearest to them."""

    row: Row
    verdict: Verdict


def figure(value: float) -> str:
    """R or Z: ``0.71``, ``12.3``, ``8,400``, ``1.2e+07``, ``∞``."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "NaN"
    if value >= _MANY:
        return f"{value:.1e}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def worst(run: Run) -> Worst | None:
    """The guilty value's worse verdict, or the one nearest to a limit; None without any."""
    rows = run.rows if run.guilty is None else [run.guilty]
    verdicts = [
        Worst(row, verdict)
        for row in rows
        for verdict in (row.local, row.accumulated)
        if verdict is not None
    ]
    return max(verdicts, key=lambda found: _share(found.verdict), default=None)


def _share(verdict: Verdict) -> float:
    """The larger of R and Z, each over its limit."""
    allowed = verdict.ratio_limit or LIMITS.ratio.limit
    return max(verdict.ratio / allowed, verdict.deviations / LIMITS.deviations.limit)


def worst_element(row: Row, verdict: Verdict | None) -> tuple[int, ...]:
    """The index of the element with Z in the value's own shape; empty if there is none."""
    if verdict is None or not verdict.worst or not row.shape:
        return ()
    # A value was compared as one row.
    return tuple(map(int, np.unravel_index(verdict.worst[-1], row.shape)))


def reasons_not_alone(run: Run) -> dict[str, int]:
    """Why nodes whose values were judged were not judged alone -> how many values."""
    judged = (row for row in run.rows if row.status != "not judged")
    return dict(Counter(row.why_not_local for row in judged if row.why_not_local))
