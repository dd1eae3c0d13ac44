"""What a report's page draws, as numbers: heat maps and histograms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, Verdict
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import BesideCpu, CaseVerdict, Row

Kind = Literal[
    "accumulated", "local", "beside cpu", "alone beside cpu", "gradient", "parameter", "velocity"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# The kinds that layers have: whether beside the CPU, and which verdict of a layer.
_LAYERS: Final[dict[str, tuple[bool, str]]] = {
    "accumulated": (False, "accumulated"),
    "local": (False, "local"),
    "beside cpu": (True, "accumulated"),
    "alone beside cpu": (True, "local"),
}

# The colours' ends: a tenth of the predicted size, and ten times it.
DECADES: Final = 1.0


@dataclass(frozen=True)
class Cell:
    """One tap of one runtime in a heat map.

    Attributes:
        ratio: observed over predicted, as text.
        deviations: the largest error in predicted standard deviations, as text.
        heat: log10 of the ratio on the colours' scale, from -1 to 1.
        passed: whether every case passed.
        title: everything else there is to say, in lines.
    """

    ratio: str
    deviations: str
    heat: float
    passed: bool
    title: str


@dataclass(frozen=True)
class HeatMap:
    """Layers by runtimes, in one lane.

    Attributes:
        columns: the rows of the report, one a runtime.
        lines: tap -> a cell for each column; none where that was not compared.
    """

    columns: tuple[Row, ...]
    lines: dict[str, tuple[Cell | None, ...]]


@dataclass(frozen=True)
class Histogram:
    """A row's errors in predicted standard deviations, summed over taps and cases.

    Attributes:
        row: the row of the report.
        total: how many errors there are.
        counts: how many fall in each bin.
        heights: the counts' logarithms as a part of the tallest bin of all histograms.
        normal: the same of as many normally distributed errors of the predicted size.
    """

    row: Row
    total: int
    counts: tuple[int, ...]
    heights: tuple[float, ...]
    normal: tuple[float, ...]


def iter_verdicts(row: Row, kind: Kind) -> Iterator[tuple[str, str, Verdict]]:
    """The case, the tap or tensor, and the verdict of all that was compared of a kind."""
    if kind in _LAYERS:
        beside, which = _LAYERS[kind]
        cases: Sequence[CaseVerdict | BesideCpu] = row.beside_cpu if beside else row.cases
        compared = [(case.case, each.tap, each) for case in cases for each in case.layers]
        found = [(case, name, getattr(layer, which)) for case, name, layer in compared]
    else:
        found = [(kind, each.tensor, getattr(each, kind)) for each in row.gradients]
    for case, name, verdict in found:
        if verdict is not None:
            yield case, name, verdict


def heat_map(rows: Sequence[Row], kind: Kind) -> HeatMap:
    """The heat map of one lane's rows; without lines where nothing of the kind was compared."""
    cells = [_cells(row, kind) for row in rows]
    # Who has the most taps has them in the network's order.
    taps = dict.fromkeys(tap for column in sorted(cells, key=len, reverse=True) for tap in column)
    return HeatMap(tuple(rows), {tap: tuple(column.get(tap) for column in cells) for tap in taps})


def _cells(row: Row, kind: Kind) -> dict[str, Cell]:
    found: dict[str, list[tuple[str, Verdict]]] = {}
    for case, name, verdict in iter_verdicts(row, kind):
        found.setdefault(name, []).append((case, verdict))
    return {tap: _cell(f"{row.name}: {tap}", of) for tap, of in found.items()}


def _cell(name: str, found: Sequence[tuple[str, Verdict]]) -> Cell:
    ratio = max(verdict.ratio for _, verdict in found)
    deviations = max(verdict.deviations for _, verdict in found)
    lines = [name]
    for case, verdict in found:
        lines.append(
            f"{case}: {number(verdict.ratio)} of the predicted size, at most "
            f"{number(verdict.deviations)} σ, |error| ≤ {verdict.max_error:.2e}"
            + (f" ✗ {verdict.reason}" if verdict.reason else "")
        )
    return Cell(
        number(ratio),
        number(deviations),
        heat(ratio),
        all(verdict.passed for _, verdict in found),
        "\n".join(lines),
    )


def heat(ratio: float) -> float:
    """Where a ratio lies on the colours' scale: -1 for a tenth or less, 1 for ten or more."""
    if ratio <= 0:
        return -1.0
    if math.isinf(ratio):
        return 1.0
    return max(-1.0, min(1.0, math.log10(ratio) / DECADES))


def number(value: float) -> str:
    """A figure in as few characters as tell it: at most five."""
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
    """One for each row that has errors to count, all to the same scale and as wide.

    The axis ends after the last bin with an error, and not before Z.
    """
    counted = {index: _counts(row) for index, row in enumerate(rows)}
    counted = {index: counts for index, counts in counted.items() if sum(counts)}
    tallest = max((max(counts) for counts in counted.values()), default=1)
    ends = [place + 1 for of in counted.values() for place, count in enumerate(of) if count]
    width = max([*ends, math.ceil(position(LIMITS.deviations.limit)) + 1])

    def heights(counts: Sequence[float]) -> tuple[float, ...]:
        return tuple(math.log10(1 + count) / math.log10(1 + tallest) for count in counts)

    shares = _normal_shares()
    return [
        Histogram(
            row=rows[index],
            total=(total := sum(counts)),
            counts=counts[:width],
            heights=heights(counts[:width]),
            normal=heights([min(total * share, tallest) for share in shares[:width]]),
        )
        for index, counts in counted.items()
    ]


def position(deviations: float) -> float:
    """Where so many deviations lie on a histogram's axis, in bins from its left end."""
    return 1 + math.log2(deviations) - HISTOGRAM_EXPONENTS[0]


def places(width: int) -> dict[str, float]:
    """The marks on a histogram's axis of so many bins: text -> position."""
    marks = {"2⁻⁸": position(2**-8), "2⁻⁴": position(2**-4), "1": position(1)}
    # Z stands where 2^4 would.
    marks |= {"2⁸": position(2**8), "2¹²": position(2**12), "2¹⁶": position(2**16)}
    return {text: place for text, place in marks.items() if place < width}


def _counts(row: Row) -> tuple[int, ...]:
    histograms = [verdict.histogram for _, verdict in row.verdicts("accumulated")]
    return tuple(map(sum, zip(*(bins for bins in histograms if bins), strict=True)))


def _normal_shares() -> list[float]:
    """How much of a normal distribution's |x| falls in each bin."""
    edges = [math.erf(2.0**exponent / math.sqrt(2)) for exponent in HISTOGRAM_EXPONENTS]
    return [high - low for low, high in zip([0.0, *edges], [*edges, 1.0], strict=True)]
