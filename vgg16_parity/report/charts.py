"""The figures that a report's page draws: heat maps and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import Kind, Row, iter_verdicts


class Cell(NamedTuple):
    """One tap of one runtime in a heat map: R and Z of its worst case, and whether all passed.

    The title has the figures of every case, one per line.
    """

    ratio: float
    deviations: float
    passed: bool
    title: str


class Histogram(NamedTuple):
    """A row's errors in predicted standard deviations, summed over taps and cases."""

    row: Row
    counts: tuple[int, ...]  # of errors in each bin
    heights: tuple[float, ...]  # the counts' logarithms over that of the tallest bin of all
    normal: tuple[float, ...]  # the same for as many normal errors of the predicted size


# Tap -> a cell for each row; None where it was not compared.
HeatMap = dict[str, tuple[Cell | None, ...]]


def heat_map(rows: Sequence[Row], kind: Kind) -> HeatMap:
    """The heat map of one lane's rows; empty if nothing of the kind was compared."""
    columns = [_cells(row, kind) for row in rows]
    # The row with the most taps has them in the network's order.
    taps = dict.fromkeys(tap for column in sorted(columns, key=len, reverse=True) for tap in column)
    return {tap: tuple(column.get(tap) for column in columns) for tap in taps}


def _cells(row: Row, kind: Kind) -> dict[str, Cell]:
    """The row's column of the map: tap -> cell."""
    failed = set()
    titles: dict[str, str] = {}
    for case, name, verdict in iter_verdicts(row, kind):
        title = titles.get(name, f"{row.name}: {name}")
        titles[name] = (
            f"{title}\n{case}: {number(verdict.ratio)} times the predicted size, at most "
            f"{number(verdict.deviations)} σ, |error| ≤ {verdict.max_error:.2e}"
        )
        if not verdict.passed:
            failed.add(name)
            titles[name] += f" ✗ {verdict.reason}"
    worst = row.worst(kind)
    return {name: Cell(*worst[name], name not in failed, title) for name, title in titles.items()}


def heat(ratio: float) -> float:
    """Position of a ratio on the colour scale: -1 for a tenth or less, 1 for ten or more."""
    return min(1.0, math.log10(max(ratio, 0.1)))


def number(value: float) -> str:
    """A figure in at most five characters."""
    if math.isinf(value):
        return "∞"
    if 0 < value < 0.01:
        return "<.01"
    if value < 10:
        return f"{value:.2f}"
    if value < 1000:
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def histograms(rows: Sequence[Row]) -> list[Histogram]:
    """One for each row with errors, all to the same scale and of the same width.

    The axis ends after the last bin with an error, but not before Z.
    """
    counted = [(row, counts) for row in rows if sum(counts := _counts(row))]
    tallest = max((max(counts) for _, counts in counted), default=1)
    ends = [place + 1 for _, counts in counted for place, count in enumerate(counts) if count]
    width = max([*ends, math.ceil(position(LIMITS.deviations.limit)) + 1])
    # The share of a normal distribution's |x| below each edge, and in each bin.
    below = [math.erf(2.0**exponent / math.sqrt(2)) for exponent in HISTOGRAM_EXPONENTS]
    shares = [high - low for low, high in pairwise([0.0, *below, 1.0])]

    def heights(counts: Sequence[float]) -> tuple[float, ...]:
        return tuple(math.log10(1 + count) / math.log10(1 + tallest) for count in counts[:width])

    return [
        Histogram(
            row,
            counts[:width],
            heights(counts),
            heights([min(sum(counts) * share, tallest) for share in shares]),
        )
        for row, counts in counted
    ]


def position(deviations: float) -> float:
    """Position of a number of deviations on a histogram's axis, in bins from the left end."""
    return 1 + math.log2(deviations) - HISTOGRAM_EXPONENTS[0]


def places(width: int) -> dict[str, float]:
    """The labels of a histogram's axis with so many bins: text -> position."""
    # Not 2⁴, where Z stands.
    marks = {"2⁻⁸": -8, "2⁻⁴": -4, "1": 0, "2⁸": 8, "2¹²": 12, "2¹⁶": 16}
    places = {text: position(2.0**exponent) for text, exponent in marks.items()}
    return {text: place for text, place in places.items() if place < width}


def _counts(row: Row) -> tuple[int, ...]:
    histograms = [verdict.histogram for _, verdict in row.verdicts("accumulated")]
    return tuple(map(sum, zip(*(bins for bins in histograms if bins), strict=True)))
