"""Table 1 of Simonyan & Zisserman (2014) as the architecture has it, one column marked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from vgg16_parity.drawing.geometry import MARGIN, WIDTH
from vgg16_parity.drawing.style import COLOURS, INK, QUIET, RULE, canvas, points, say, shade
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
class Row:
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


def rows(shown: tuple[Configuration, ...]) -> list[Row]:
    """The table from top to bottom, in the paper's words."""
    found = [
        Row("column", tuple((n.name, f"{len(n.weighted_layers)} weight layers") for n in shown)),
        Row("input", tuple((f"{n.input_size}×{n.input_size} RGB image",) for n in shown)),
    ]
    pooling = (f"max pooling {POOLING_SIZE}×{POOLING_SIZE}",)
    for block in range(len(shown[0].column)):
        cells = tuple(tuple(f"conv{c}" for c in n.column[block].split()) for n in shown)
        found.append(Row(f"block{block + 1}", cells))
        found.append(Row(f"pool{block + 1}", (pooling,) * len(shown), COLOURS["pooling"]))
    dense = [[x for x in n.layers if isinstance(x, Dense)] for n in shown]
    for layers in zip(*dense, strict=True):
        cells = tuple((f"FC-{layer.out_features}",) for layer in layers)
        found.append(Row(layers[0].name, cells, COLOURS["dense"]))
    found.append(Row("softmax", (("soft-max",),) * len(shown), COLOURS["softmax"]))
    parameters = tuple((f"{n.parameters():,}", "parameters") for n in shown)
    return [*found, Row("parameters", parameters)]


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
    say(figure, (MARGIN, height - 32), title(chosen), size=17, bold=True)
    fact = "Simonyan & Zisserman (2014) · in bold, what the column on the left does not have"
    say(figure, (MARGIN, height - 50), fact, size=11, colour=QUIET)
    step = (WIDTH - 2 * MARGIN) / len(shown)
    marked = MARGIN + shown.index(CONFIGURATIONS[chosen.name]) * step
    top = height - _HEAD
    _box(figure, (marked, MARGIN), (step, top - MARGIN), shade(_MARK, 0.82))
    y = top
    for row, below in zip(found, [*found[1:], found[-1]], strict=True):
        y -= row.height
        for first, count in row.spans():
            _cell(figure, row, first, (MARGIN + first * step, y), count * step)
        if not (row.colour or below.colour):
            _rule(figure, y)
    _rule(figure, top)
    _box(figure, (marked, MARGIN), (step, top - MARGIN), "none", edge=_MARK, gid="marked")
    return figure


def _cell(figure: Figure, row: Row, first: int, corner: tuple[float, float], width: float) -> None:
    x, y = corner
    lines = row.cells[first]
    if row.colour:
        # Pale, so that the letters stand out.
        inset = (x + 3, y + 3), (width - 6, row.height - 6)
        _box(figure, *inset, shade(row.colour, 0.72))
    block = row.name.startswith("block")
    left = row.cells[first - 1] if first and first < len(PAPERS) else lines
    bold = added(lines, left) if block else [row.name == "column", False]
    at = y + row.height - _PADDING - _LINE + 6
    for index, line in enumerate(lines):
        heading = row.name == "column" and index == 0
        quiet = row.name in ("column", "parameters") and not heading
        say(
            figure,
            (x + width / 2, at - index * _LINE),
            line,
            size=13 if heading else 10.5,
            bold=bold[index] if index < len(bold) else False,
            colour=QUIET if quiet else INK,
            align="center",
        )


def _rule(figure: Figure, y: float) -> None:
    from matplotlib.lines import Line2D

    line = Line2D((MARGIN, WIDTH - MARGIN), (y, y), color=RULE, linewidth=points(0.8))
    figure.axes[0].add_line(line)


def _box(
    figure: Figure,
    corner: tuple[float, float],
    size: tuple[float, float],
    colour: str,
    edge: str = "",
    gid: str | None = None,
) -> None:
    from matplotlib.patches import Rectangle

    patch = Rectangle(
        corner,
        *size,
        facecolor=colour,
        edgecolor=edge or "none",
        linewidth=points(2) if edge else 0,
        zorder=3 if edge else 0.5,
        gid=gid,
    )
    figure.axes[0].add_patch(patch)
