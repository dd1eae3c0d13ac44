"""Table 1 of Simonyan & Zisserman (2014) as the architecture has it, one column marked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from vgg16_parity.drawing.geometry import MARGIN, WIDTH
from vgg16_parity.drawing.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    Point,
    add_line,
    add_rectangle,
    add_text,
    canvas,
    shade,
)
from vgg16_spec.architecture import CONFIGURATIONS, POOLING_SIZE, Configuration, Dense

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAD: Final = 70
_LINE: Final = 16
_PADDING: Final = 8
_MARK: Final = COLOURS["convolution"]
# The configurations that the paper has; another is shown beside them where it is the chosen one.
PAPERS: Final = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class TableRow:
    """A row of the table.

    Attributes:
        name: what stands in it, also the start of its cells' identifiers.
        cells: one a column, each its lines.
        colour: of the background; empty for none.
    """

    name: str
    cells: tuple[tuple[str, ...], ...]
    colour: str = ""

    @property
    def height(self) -> float:
        """In pixels."""
        return max(map(len, self.cells)) * _LINE + 2 * _PADDING - 4

    def spans(self) -> list[tuple[int, int]]:
        """First column and number of columns of each cell: neighbours with one line share theirs.

        Cells of several lines, and of convolutions, are each column's own.
        """
        if self.name.startswith("block") or self.name in ("column", "parameters"):
            return [(index, 1) for index in range(len(self.cells))]
        spans: list[tuple[int, int]] = []
        for index, cell in enumerate(self.cells):
            if spans and cell == self.cells[spans[-1][0]]:
                spans[-1] = (spans[-1][0], spans[-1][1] + 1)
            else:
                spans.append((index, 1))
        return spans


def columns(chosen: Configuration) -> tuple[Configuration, ...]:
    """The paper's configurations, and the chosen one where it is another."""
    shown = (*PAPERS, *(() if chosen.name in PAPERS else (chosen.name,)))
    return tuple(CONFIGURATIONS[name] for name in shown)


def rows(shown: tuple[Configuration, ...]) -> list[TableRow]:
    """The table from top to bottom, in the paper's words."""
    found = [
        TableRow(
            "column", tuple((n.name, f"{len(n.weighted_layers)} weight layers") for n in shown)
        ),
        TableRow("input", tuple((f"{n.input_size}×{n.input_size} RGB image",) for n in shown)),
    ]
    pooling = (f"max pooling {POOLING_SIZE}×{POOLING_SIZE}",)
    for block in range(len(shown[0].column)):
        cells = tuple(tuple(f"conv{c}" for c in n.column[block].split()) for n in shown)
        found.append(TableRow(f"block{block + 1}", cells))
        found.append(TableRow(f"pool{block + 1}", (pooling,) * len(shown), COLOURS["pooling"]))
    dense = [[x for x in n.layers if isinstance(x, Dense)] for n in shown]
    for layers in zip(*dense, strict=True):
        cells = tuple((f"FC-{layer.out_features}",) for layer in layers)
        found.append(TableRow(layers[0].name, cells, COLOURS["dense"]))
    found.append(TableRow("softmax", (("soft-max",),) * len(shown), COLOURS["softmax"]))
    parameters = tuple((f"{n.parameters():,}", "parameters") for n in shown)
    return [*found, TableRow("parameters", parameters)]


def added(cell: tuple[str, ...], left: tuple[str, ...]) -> list[bool]:
    """Which lines of a column's block its neighbour on the left does not have in that place."""
    return [line != other for line, other in zip_longest(cell, left) if line is not None]


def title(chosen: Configuration) -> str:
    """What the picture is called."""
    how = "marked" if chosen.name in PAPERS else "beside it"
    return f"Table 1 of the paper, configuration {chosen.name} {how}"


def table(chosen: Configuration) -> Figure:
    """The picture of Table 1, 800 pixels wide, with the chosen configuration's column marked."""
    shown = columns(chosen)
    found = rows(shown)
    height = _HEAD + sum(row.height for row in found) + MARGIN
    figure = canvas(WIDTH, height)
    add_text(figure, (MARGIN, height - 32), title(chosen), size=17, bold=True)
    fact = "Simonyan & Zisserman (2014) · in bold, what the column on the left does not have"
    add_text(figure, (MARGIN, height - 50), fact, size=11, colour=QUIET)
    step = (WIDTH - 2 * MARGIN) / len(shown)
    marked = MARGIN + shown.index(CONFIGURATIONS[chosen.name]) * step
    top = height - _HEAD
    add_rectangle(figure, (marked, MARGIN), (step, top - MARGIN), shade(_MARK, 0.82), zorder=0.5)
    y = top
    for row, below in zip(found, [*found[1:], found[-1]], strict=True):
        y -= row.height
        for first, count in row.spans():
            _cell(figure, row, first, (MARGIN + first * step, y), count * step)
        if not (row.colour or below.colour):
            _rule(figure, y)
    _rule(figure, top)
    add_rectangle(
        figure, (marked, MARGIN), (step, top - MARGIN), "none", edge=_MARK, zorder=3, gid="marked"
    )
    return figure


def _cell(figure: Figure, row: TableRow, first: int, corner: Point, width: float) -> None:
    x, y = corner
    lines = row.cells[first]
    if row.colour:
        # Pale, so that the letters stand out.
        inset = (x + 3, y + 3), (width - 6, row.height - 6)
        add_rectangle(figure, *inset, shade(row.colour, 0.72), zorder=0.5)
    block = row.name.startswith("block")
    left = row.cells[first - 1] if first and first < len(PAPERS) else lines
    bold = added(lines, left) if block else [row.name == "column", False]
    at = y + row.height - _PADDING - _LINE + 6
    for index, line in enumerate(lines):
        heading = row.name == "column" and index == 0
        quiet = row.name in ("column", "parameters") and not heading
        add_text(
            figure,
            (x + width / 2, at - index * _LINE),
            line,
            size=13 if heading else 10.5,
            bold=bold[index] if index < len(bold) else False,
            colour=QUIET if quiet else INK,
            align="center",
        )


def _rule(figure: Figure, y: float) -> None:
    add_line(figure, (MARGIN, WIDTH - MARGIN), (y, y), RULE, width=0.8, cap="projecting")
