"""The network as the volumes that data passes: each layer's output as a box, to scale."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from vgg16_parity.drawing.geometry import (
    INPUT,
    MARGIN,
    SOFTMAX,
    WIDTH,
    Kind,
    Polygon,
    Scene,
    Volume,
    group_of,
    kind_of,
    scene,
)
from vgg16_parity.drawing.style import (
    COLOURS,
    INK,
    PAPER,
    QUIET,
    RULE,
    Point,
    add_line,
    add_rectangle,
    add_text,
    canvas,
    points,
    shade,
)
from vgg16_spec.architecture import Configuration, Shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A layer, its colour and its output.
Label: TypeAlias = tuple[str, Kind, Shape]
# Heights from top to bottom: the title, the drawing, the lines that lead to the labels.
_HEAD: Final = 66
_STAGE: Final = 272
_LEADERS: Final = 46
_LINE: Final = 14.5
_BETWEEN_GROUPS: Final = 6
_SWATCH: Final = 7.5
_INDENT: Final = 13
# The legend stands over the smaller maps, colours and scales side by side.
_LEGEND: Final = (282.0, 478.0)
_LONGEST_BAR: Final = 40.0
_KINDS: Final[dict[Kind, str]] = {
    "convolution": "3×3 convolution + ReLU",
    "pointwise": "1×1 convolution + ReLU",
    "pooling": "max pooling",
    "dense": "dense (fc1 and fc2 + ReLU)",
    "softmax": "softmax",
}


def volumes(network: Configuration) -> Figure:
    """The picture of a configuration with its classifier, 800 pixels wide."""
    columns = _labels(network)
    foot = max(map(_height, columns)) + MARGIN
    height = foot + _LEADERS + _STAGE + _HEAD
    figure = canvas(WIDTH, height)
    placed = scene(network, foot + _LEADERS + _STAGE / 2)
    _title(figure, network, height)
    _boxes(figure, placed)
    _colours(figure, placed, height - _HEAD - 18)
    _scales(figure, placed, height - _HEAD - 18)
    _columns(figure, placed, columns, foot)
    return figure


def title(network: Configuration) -> str:
    """What the picture is called."""
    return f"VGG{len(network.weighted_layers)}, configuration {network.name}"


def words(shape: Shape) -> str:
    """(C, H, W) -> "H×W×C"; (features,) -> the number."""
    return "×".join(map(str, (*shape[1:], shape[0]))) if len(shape) == 3 else f"{shape[0]:,}"


def _title(figure: Figure, network: Configuration, height: float) -> None:
    add_text(figure, (MARGIN, height - 32), title(network), size=17, bold=True)
    facts = (
        f"{len(network.weighted_layers)} layers with weights · "
        f"{network.parameters():,} parameters · "
        f"{network.multiply_adds():,} multiply-adds for one image"
    )
    add_text(figure, (MARGIN, height - 50), facts, size=11, colour=QUIET)


def _boxes(figure: Figure, placed: Scene) -> None:
    for name, fan in placed.fans.items():
        colour = COLOURS["flatten"] if name == "flatten" else shade(COLOURS["dense"], 0.78)
        _face(figure, fan, colour, f"{name}-fan")
    # The nearest last: data goes to the right, and the view is from the right.
    for volume in placed.volumes:
        colour = COLOURS[volume.kind]
        _face(figure, volume.side, colour, f"{volume.name}-side")
        _face(figure, volume.top, shade(colour, 0.35), f"{volume.name}-top")
        _face(figure, volume.front, shade(colour, -0.18), f"{volume.name}-front")


def _face(figure: Figure, polygon: Polygon, colour: str, gid: str) -> None:
    from matplotlib.patches import Polygon as Patch

    patch = Patch(
        polygon,
        closed=True,
        facecolor=colour,
        edgecolor=PAPER,
        linewidth=points(0.6),
        joinstyle="round",
        gid=gid,
    )
    figure.axes[0].add_patch(patch)


def _colours(figure: Figure, placed: Scene, top: float) -> None:
    shown = [kind for kind in _KINDS if any(v.kind == kind for v in placed.volumes)]
    for index, kind in enumerate(shown):
        at = (_LEGEND[0], top - _LINE * index)
        _swatch(figure, at, COLOURS[kind])
        add_text(figure, (at[0] + _INDENT, at[1]), _KINDS[kind])


def _scales(figure: Figure, placed: Scene, top: float) -> None:
    """A bar for each of the three scales, as long as so many pixels, channels or units."""
    scales = {
        "pixels of height": placed.per_pixel,
        "channels": placed.per_channel,
        "units of a vector": placed.per_unit,
    }
    for index, (what, scale) in enumerate(scales.items()):
        count = 2 ** math.floor(math.log2(_LONGEST_BAR / scale))
        x, y = _LEGEND[1], top - _LINE * index
        middle, end = y + _SWATCH / 2, x + count * scale
        add_line(figure, (x, end), (middle, middle), INK, gid=f"scale-{what}")
        for tick in (x, end):
            add_line(figure, (tick, tick), (y, y + _SWATCH), INK)
        add_text(figure, (x + _LONGEST_BAR + 8, y), f"{count} {what}")


def _swatch(figure: Figure, at: Point, colour: str) -> None:
    add_rectangle(figure, at, (_SWATCH, _SWATCH), colour)


def _labels(network: Configuration) -> list[list[Label]]:
    """The columns of labels, one a block and one for the classifier: name, kind and shape."""
    shapes = network.output_shapes()
    blocks = len(network.column)
    columns: list[list[Label]] = [[] for _ in range(blocks + 1)]
    columns[0].append((INPUT, "input", network.input_shape))
    for layer in network.layers:
        entry = (layer.name, kind_of(layer), shapes[layer.name])
        columns[group_of(layer.name, blocks)].append(entry)
    columns[-1].append((SOFTMAX, "softmax", columns[-1][-1][2]))
    return columns


def _height(column: list[Label]) -> float:
    groups = len(_groups(column))
    return (len(column) + groups) * _LINE + (groups - 1) * _BETWEEN_GROUPS


def _groups(column: list[Label]) -> list[tuple[Shape, list[Label]]]:
    """Layers that follow each other and have outputs of the same shape."""
    return [(shape, list(run)) for shape, run in groupby(column, key=lambda label: label[2])]


def _columns(figure: Figure, placed: Scene, columns: list[list[Label]], top: float) -> None:
    step = (WIDTH - 2 * MARGIN + 2 * _INDENT) / len(columns)
    for index, column in enumerate(columns):
        x, y = MARGIN + index * step, top
        _lead(figure, placed.of(index), (x, x + step - 2 * _INDENT), top + 6)
        for shape, labels in _groups(column):
            y -= _LINE
            add_text(figure, (x, y), words(shape), bold=True, colour=QUIET)
            for name, kind, _ in labels:
                y -= _LINE
                _swatch(figure, (x, y), COLOURS[kind])
                add_text(figure, (x + _INDENT, y), name)
            y -= _BETWEEN_GROUPS


def _lead(figure: Figure, volumes: tuple[Volume, ...], rule: Point, height: float) -> None:
    """A line over a column of labels, and one from its volumes down to it."""
    corners = [corner for volume in volumes for corner in (*volume.front, *volume.side)]
    left, right = (end(x for x, _ in corners) for end in (min, max))
    bottom = min(y for _, y in corners) - 5
    middle, target = (left + right) / 2, sum(rule) / 2
    add_line(figure, rule, (height, height), RULE)
    add_line(figure, (middle, middle, target), (bottom, height + _LEADERS - 24, height), RULE)
