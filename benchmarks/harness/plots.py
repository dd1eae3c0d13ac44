"""The panels, colours and files of the benchmarks' plots."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from vgg16_spec.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def panels(titles: Iterable[str], height: float) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title, stacked, each ``height`` inches high."""
    from matplotlib.figure import Figure

    named = list(titles)
    figure = Figure(figsize=(9, height * max(len(named), 1)), layout="constrained")
    found = list(figure.subplots(max(len(named), 1), 1, squeeze=False)[:, 0])
    for title, panel in zip(named, found, strict=False):
        panel.set_title(title, loc="left")
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, found


def colours(runtimes: Iterable[str]) -> dict[str, str]:
    """Runtime -> its colour, in order of first appearance."""
    return dict(zip(dict.fromkeys(runtimes), itertools.cycle(_COLOURS), strict=False))


def widths(runtimes: Iterable[str]) -> dict[str, float]:
    """Runtime -> the width of its line: later ones are narrower, so that equal ones all show."""
    named = list(dict.fromkeys(runtimes))
    return {name: 1.5 + 1.3 * below for below, name in enumerate(reversed(named))}


class Errors(NamedTuple):
    """The rms errors of a runtime, observed and predicted, tap by tap."""

    runtime: str
    taps: Sequence[str]
    observed: Sequence[float]
    predicted: Sequence[float]


def errors(by_title: Mapping[str, Sequence[Errors]]) -> Figure:
    """Errors through the layers, one panel per title."""
    titles = (f"{title}: rms error of a layer's outputs" for title in by_title)
    figure, found = panels(titles, 3.3)
    runtimes = [line.runtime for lines in by_title.values() for line in lines]
    shades, wide = colours(runtimes), widths(runtimes)
    for lines, panel in zip(by_title.values(), found, strict=False):
        for line in lines:
            look = {"color": shades[line.runtime], "lw": wide[line.runtime]}
            panel.semilogy(line.taps, line.observed, label=line.runtime, **look)
            panel.semilogy(line.taps, line.predicted, ":", color="black")
        panel.plot([], [], ":", color="black", label="predicted")
        panel.tick_params(axis="x", rotation=60, labelsize=8)
        name_lines(panel)
    return figure


def name_lines(panel: Axes) -> None:
    """Put the legend beside the panel, which many lines fill."""
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, with the same bytes each time."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
