"""The figures that a report's page draws: heat maps and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, Verdict
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import Kind, Row, iter_verdicts

# The ends of the colour scale: a tenth of the predicted size, and ten times it.
DECADES: Final = 1.0


@dataclass(frozen=True)
class Cell:
    """One tap of one runtime in a heat map: the worst of its cases.

    Attributes:
        ratio: R.
        deviations: Z.
        passed: whether every case passed.
        title: the figures of every case, one per line.
    """

    ratio: float
    deviations: float
    passed: bool
    title: str


@dataclass(frozen=True)
class Histogram:
    """A row's errors in predicted standard deviations, summed over taps and cases.

    Attributes:
        row: the row of the report.
        total: number of errors.
        counts: number of errors in each bin.
        heights: the counts' logarithms, as fractions of the tallest bin of all histograms.
        normal: the same for as many normally distributed errors of the predicted size.
    """

    row: Row
    total: int
    counts: tuple[int, ...]
    heights: tuple[float, ...]
    normal: tuple[float, ...]


# Tap -> a cell for each row; None where it was not compared.
HeatMap = dict[str, tuple[Cell | None, ...]]


def heat_map(rows: Sequence[Row], kind: Kind) -> HeatMap:
    """The heat map of one lane's rows; empty if nothing of the kind was compared."""
    columns = [_cells(row, kind) for row in rows]
    # The row with the most taps has them in the network's order.
    taps = dict.fromkeys(tap for column in sorted(columns, key=len, reverse=True) for tap in column)
    return {tap: tuple(column.get(tap) for column in columns) for tap in taps}


def _cells(row: Row, kind: Kind) -> dict[str, Cell]:
    found: dict[str, list[tuple[str, Verdict]]] = {}
    for case, name, verdict in iter_verdicts(row, kind):
        found.setdefault(name, []).append((case, verdict))
    worst = row.worst(kind)
    return {
        name: Cell(
            *worst[name],
            passed=all(verdict.passed for _, verdict in verdicts),
            title="\n".join([f"{row.name}: {name}", *(_figures(*each) for each in verdicts)]),
        )
        for name, verdicts in found.items()
    }


def _figures(case: str, verdict: Verdict) -> str:
    figures = (
        f"{case}: {number(verdict.ratio)} times the predicted size, at most "
        f"{number(verdict.deviations)} σ, |error| ≤ {verdict.max_error:.2e}"
    )
    return f"{figures} ✗ {verdict.reason}" if verdict.reason else figures


def heat(ratio: float) -> float:
    """Position of a ratio on the colour scale: -1 for a tenth or less, 1 for ten or more."""
    if ratio <= 0:
        return -1.0
    return max(-1.0, min(1.0, math.log10(ratio) / DECADES))


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

    def heights(counts: Sequence[float]) -> tuple[float, ...]:
        return tuple(math.log10(1 + count) / math.log10(1 + tallest) for count in counts[:width])

    shares = _normal_shares()
    return [
        Histogram(
            row=row,
            total=(total := sum(counts)),
            counts=counts[:width],
            heights=heights(counts),
            normal=heights([min(total * share, tallest) for share in shares]),
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


def _normal_shares() -> list[float]:
    """The share of a normal distribution's |x| in each bin."""
    edges = [math.erf(2.0**exponent / math.sqrt(2)) for exponent in HISTOGRAM_EXPONENTS]
    return [high - low for low, high in zip([0.0, *edges], [*edges, 1.0], strict=True)]
