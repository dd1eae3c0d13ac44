"""Table 1 of Simonyan & Zisserman (2014) as the architecture has it, one column marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, zip_longest
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg16_parity.drawing import style
from vgg16_spec.architecture import CONFIGURATIONS, POOLING_SIZE, Configuration, Dense

_HEAD: Final = 70
_LINE: Final = 16
_PADDING: Final = 8
_MARK: Final = style.COLOURS["convolution"]
_HEADING: Final = {"size": 13 * style.POINT, "weight": "bold"}
# The configurations that the paper has; another is shown beside them where it is the chosen one.
_PAPERS: Final = "ABCDE"

# Lines of text, each with what matplotlib is to know of it.
Cell = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class TableRow:
    """A row of the table."""

    cells: list[Cell]  # one per column
    colour: str = ""  # of the background; empty for none
    shared: bool = False  # whether equal neighbours stand there as one

    @property
    def height(self) -> float:
        """In pixels."""
        return max(map(len, self.cells)) * _LINE + 2 * _PADDING - 4

    def spans(self) -> list[tuple[int, int]]:
        """First column and number of columns of each cell."""
        counts = [1] * len(self.cells)
        if self.shared:
            counts = [len(list(run)) for _, run in groupby(self.cells)]
        return list(zip(accumulate([0, *counts[:-1]]), counts, strict=True))


def rows(shown: Sequence[Configuration]) -> list[TableRow]:
    """The table from top to bottom, in the paper's words."""
    quiet = {"color": style.QUIET}
    names: list[Cell] = [
        [(n.name, _HEADING), (f"{len(n.weighted_layers)} weight layers", quiet)] for n in shown
    ]
    found = [TableRow(names), _shared([f"{n.input_size}×{n.input_size} RGB image" for n in shown])]
    pooling = f"max pooling {POOLING_SIZE}×{POOLING_SIZE}"
    for block in range(len(shown[0].column)):
        found.append(_block([n.column[block].split() for n in shown]))
        found.append(_shared([pooling] * len(shown), style.COLOURS["pooling"]))
    dense = [[x for x in n.layers if isinstance(x, Dense)] for n in shown]
    for layers in zip(*dense, strict=True):
        found.append(
            _shared([f"FC-{layer.out_features}" for layer in layers], style.COLOURS["dense"])
        )
    found.append(_shared(["soft-max"] * len(shown), style.COLOURS["softmax"]))
    parameters: list[Cell] = [
        [(f"{n.parameters():,}", quiet), ("parameters", quiet)] for n in shown
    ]
    return [*found, TableRow(parameters)]


def _shared(cells: list[str], colour: str = "") -> TableRow:
    return TableRow([[(text, {})] for text in cells], colour, shared=True)


def _block(columns: list[list[str]]) -> TableRow:
    """Convolutions, in bold where the column on the left does not have them in that place."""
    row = TableRow([])
    for index, column in enumerate(columns):
        # The paper compares its own columns only, and the first has none on its left.
        left = columns[index - 1] if 0 < index < len(_PAPERS) else column
        lines = [
            (f"conv{text}", {} if text == other else {"weight": "bold"})
            for text, other in zip_longest(column, left)
            if text
        ]
        row.cells.append(lines)
    return row


def table(chosen: Configuration) -> Figure:
    """The picture of Table 1, 800 pixels wide, with the chosen configuration's column marked."""
    names = [*_PAPERS, *([] if chosen.name in _PAPERS else [chosen.name])]
    found = rows([CONFIGURATIONS[name] for name in names])
    top = sum(row.height for row in found) + style.MARGIN
    how = "beside it" if len(names) > len(_PAPERS) else "marked"
    figure, axes = style.canvas(
        top + _HEAD,
        f"Table 1 of the paper, configuration {chosen.name} {how}",
        "Simonyan & Zisserman (2014) · in bold, what the column on the left does not have",
    )
    step = (style.WIDTH - 2 * style.MARGIN) / len(names)
    mark = (style.MARGIN + names.index(chosen.name) * step, style.MARGIN), step, top - style.MARGIN
    axes.add_patch(Rectangle(*mark, color=style.shade(_MARK, 0.82), linewidth=0, zorder=0.5))
    y = top
    for row, below in zip(found, [*found[1:], found[-1]], strict=True):
        y -= row.height
        for first, count in row.spans():
            _cell(axes, row, row.cells[first], (style.MARGIN + first * step, y), count * step)
        if not (row.colour or below.colour):
            _rule(axes, y)
    _rule(axes, top)
    edge = Rectangle(
        *mark, facecolor="none", edgecolor=_MARK, linewidth=2 * style.POINT, zorder=3, gid="marked"
    )
    axes.add_patch(edge)
    return figure


def _cell(axes: Axes, row: TableRow, cell: Cell, corner: style.Point, width: float) -> None:
    x, y = corner
    if row.colour:
        # Pale, so that the letters stand out.
        colour = style.shade(row.colour, 0.72)
        inset = (x + 3, y + 3), width - 6, row.height - 6
        axes.add_patch(Rectangle(*inset, facecolor=colour, edgecolor="none", zorder=0.5))
    top = y + row.height - _PADDING - _LINE + 6
    for index, (text, look) in enumerate(cell):
        at = x + width / 2, top - index * _LINE
        axes.text(*at, text, **{"size": 10.5 * style.POINT, "ha": "center", **look})


def _rule(axes: Axes, y: float) -> None:
    ends = (style.MARGIN, style.WIDTH - style.MARGIN)
    axes.plot(
        ends, (y, y), color=style.RULE, linewidth=0.8 * style.POINT, solid_capstyle="projecting"
    )
