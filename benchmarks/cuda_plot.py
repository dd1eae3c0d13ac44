"""What ``benchmarks.cuda`` measured, as plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.cuda_report import Results
from parity.report import Report, Row
from vgg16.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A plot's file, less what goes before it -> what it shows.
CAPTIONS: Final = MappingProxyType(
    {
        "layers.png": "Errors through the layers in every lane, observed and predicted",
        "throughput.png": "Images a second in every lane, and the roofline",
    }
)


def figures(results: Results, report: Report) -> Mapping[str, Figure]:
    """The plots of ``CAPTIONS`` for which anything was measured."""
    ran = [row for row in report.rows if row.device == results.device and row.cases]
    rows = [row for row in ran if row.cases[0].layers]
    drawn: dict[str, Figure] = {}
    if rows:
        drawn["layers.png"] = _layers(rows)
    if any(one.rate for one in results.throughput):
        drawn["throughput.png"] = _throughput(results)
    return drawn


def write(figure: Figure, path: Path) -> None:
    """As PNG, with the same bytes each time."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def _layers(rows: list[Row]) -> Figure:
    """The rms error of every tap on the first case, a panel a lane."""
    lanes = list(dict.fromkeys(row.lane for row in rows))
    figure, panels = _panels(lanes, 3.2)
    for lane, panel in zip(lanes, panels, strict=True):
        of_lane = [row for row in rows if row.lane == lane]
        for row in of_lane:
            taps = {layer.tap: layer.accumulated for layer in row.cases[0].layers}
            observed = [verdict.rms_error for verdict in taps.values()]
            panel.semilogy(list(taps), observed, ".-", color=_colour(row.runtime, rows))
            predicted = [verdict.rms_predicted for verdict in taps.values()]
            panel.semilogy(list(taps), predicted, ":", color="black")
            panel.lines[-2].set_label(row.runtime)
        panel.plot([], [], ":", color="black", label="predicted")
        panel.set_title(f"{lane}: rms error of a layer's outputs", loc="left")
        panel.tick_params(axis="x", rotation=60, labelsize=8)
        panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _throughput(results: Results) -> Figure:
    """Images a second over the batch, a panel a lane, with what the matrix units could give."""
    measured = [one for one in results.throughput if one.rate]
    lanes = list(dict.fromkeys(one.lane for one in measured))
    figure, panels = _panels(lanes, 2.8)
    for lane, panel in zip(lanes, panels, strict=True):
        of_lane = [one for one in measured if one.lane == lane]
        for runtime in dict.fromkeys(one.runtime for one in of_lane):
            points = [(one.batch, one.rate) for one in of_lane if one.runtime == runtime]
            colour = _colour(runtime, measured)
            panel.loglog(*np.transpose(points), "o-", color=colour, label=runtime)
        if peak := results.rates.get(of_lane[0].mode):
            panel.axhline(peak / results.operations, color="black", ls="--", label="roofline")
        batches = sorted({one.batch for one in measured})
        panel.set_xticks(batches, map(str, batches), minor=False)
        panel.minorticks_off()
        panel.set_xlabel("batch")
        panel.set_title(f"{lane}: images a second over the batch", loc="left")
        panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _colour(runtime: str, measured: list[Any]) -> str:
    """The same for a runtime in every panel of a plot."""
    return f"C{list(dict.fromkeys(one.runtime for one in measured)).index(runtime)}"


def _panels(lanes: list[str], height: float) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height * len(lanes)), layout="constrained")
    panels = list(figure.subplots(len(lanes), 1, squeeze=False)[:, 0])
    for panel in panels:
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels
