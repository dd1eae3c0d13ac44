"""A row of a report as text."""

from __future__ import annotations

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import Row
from vgg16_parity.report.coverage import exercised
from vgg16_spec.text import visible


def explain(row: Row) -> str:
    """A row as text: what is wrong, and every tap's figures."""
    lines = [f"{row.runtime} ({row.mode}): {row.status}"]
    if row.reason:
        lines.append(row.reason)
    if row.coverage is not None:
        lines.append(f"the inputs exercise {exercised(row.coverage)}")
    lines += row.notes
    width = max((len(tap) for tap, _ in row.verdicts("accumulated")), default=0)
    for case in row.cases:
        for layer in case.layers:
            figures = [("", layer.accumulated)]
            figures += [("alone ", layer.local)] if layer.local is not None else []
            said = "; ".join(f"{kind}{_figures(verdict)}" for kind, verdict in figures)
            lines.append(f"  {layer.tap:<{width}}  {said}")
    lines += [f"  {probe.layer:<{width}}  dense {_figures(probe.local)}" for probe in row.probes]
    return "\n".join(map(visible, lines))


def _figures(verdict: Verdict) -> str:
    return (
        f"{verdict.ratio:.3g} times the predicted error, "
        f"{verdict.deviations:.3g} deviations{'' if verdict.passed else ' WRONG'}"
    )
