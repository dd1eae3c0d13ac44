"""The plots of ``benchmarks.cuda``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.cuda.results import Results
from benchmarks.harness import plots
from vgg16_parity.records import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A plot's file -> what it shows.
CAPTIONS: Final = MappingProxyType(
    {
        "layers.png": "Errors through the layers in every lane, observed and predicted",
        "throughput.png": "Images per second in every lane, and the roofline",
    }
)


def figures(results: Results) -> Mapping[str, Figure]:
    """File -> plot, for those of ``CAPTIONS`` for which there are measurements."""
    ran = [row for row in results.report.rows if row.device == results.device and row.cases]
    rows = [row for row in ran if row.cases[0].layers]
    drawn: dict[str, Figure] = {}
    if rows:
        drawn["layers.png"] = _layers(rows)
    if any(one.rate for one in results.throughput):
        drawn["throughput.png"] = _throughput(results)
    return drawn


def _layers(rows: list[Row]) -> Figure:
    """The rms error of every tap on the first case, one panel per lane."""
    lanes: dict[str, list[plots.Errors]] = {}
    for row in rows:
        taps = {layer.tap: layer.accumulated for layer in row.cases[0].layers}
        observed = [verdict.rms_error for verdict in taps.values()]
        predicted = [verdict.rms_predicted for verdict in taps.values()]
        line = plots.Errors(row.runtime, list(taps), observed, predicted)
        lanes.setdefault(row.lane, []).append(line)
    return plots.errors(lanes)


def _throughput(results: Results) -> Figure:
    """Images per second over the batch size, one panel per lane, with the roofline."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    measured = [one for one in results.throughput if one.rate]
    lanes = list(dict.fromkeys(one.lane for one in measured))
    runtimes = [one.runtime for one in measured]
    colours, widths = plots.colours(runtimes), plots.widths(runtimes)
    batches = sorted({one.batch for one in measured})
    figure, panels = plots.panels(
        (f"{lane}: images per second over the batch size" for lane in lanes), 2.8
    )
    for lane, panel in zip(lanes, panels, strict=True):
        of_lane = [one for one in measured if one.lane == lane]
        for runtime in dict.fromkeys(one.runtime for one in of_lane):
            points = [(one.batch, one.rate) for one in of_lane if one.runtime == runtime]
            look = {"color": colours[runtime], "lw": widths[runtime]}
            panel.loglog(*np.transpose(points), "o-", label=runtime, **look)
        if peak := results.rates.get(of_lane[0].mode):
            panel.axhline(peak / results.operations, color="black", ls="--", label="roofline")
        panel.set_xticks(batches, list(map(str, batches)), minor=False)
        panel.minorticks_off()
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.set_xlabel("batch size")
        plots.name_lines(panel)
    return figure
