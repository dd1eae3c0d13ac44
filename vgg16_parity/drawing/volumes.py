"""The network as the volumes that data passes: each layer's output as a box, to scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg16_parity.drawing import style
from vgg16_parity.drawing.geometry import Face, Output, Polygon, Scene, outputs, scene
from vgg16_spec.architecture import Configuration, Shape

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
_KINDS: Final = {
    "convolution": "3×3 convolution + ReLU",
    "pointwise": "1×1 convolution + ReLU",
    "pooling": "max pooling",
    "dense": "dense (fc1 and fc2 + ReLU)",
    "softmax": "softmax",
}
# Light falls from above.
_SHADES: Final[dict[Face, float]] = {"side": 0.0, "top": 0.35, "front": -0.18}


def volumes(network: Configuration) -> Figure:
    """The picture of a configuration with its classifier, 800 pixels wide."""
    # A block or the classifier -> its runs of outputs of the same shape.
    columns = [
        [(shape, list(run)) for shape, run in groupby(column, key=lambda output: output.shape)]
        for _, column in groupby(outputs(network), key=lambda output: output.group)
    ]
    foot = max(map(_height, columns)) + style.MARGIN
    top = foot + _LEADERS + _STAGE
    facts = (
        f"{len(network.weighted_layers)} layers with weights · "
        f"{network.parameters():,} parameters · "
        f"{network.multiply_adds():,} multiply-adds for one image"
    )
    title = f"VGG{len(network.weighted_layers)}, configuration {network.name}"
    figure, axes = style.canvas(top + _HEAD, title, facts)
    placed = scene(network, foot + _LEADERS + _STAGE / 2)
    _boxes(axes, placed)
    _legend(axes, placed, top - 18)
    step = (style.WIDTH - 2 * style.MARGIN + 2 * _INDENT) / len(columns)
    for index, column in enumerate(columns):
        x = style.MARGIN + index * step
        _lead(axes, placed, index, (x, x + step - 2 * _INDENT), foot + 6)
        _labels(axes, column, (x, foot))
    return figure


def _height(column: Sequence[tuple[Shape, list[Output]]]) -> float:
    lines = sum(1 + len(run) for _, run in column)
    return lines * _LINE + (len(column) - 1) * _BETWEEN_GROUPS


def _boxes(axes: Axes, placed: Scene) -> None:
    for name, fan in placed.fans.items():
        pale = style.shade(style.COLOURS["dense"], 0.78)
        colour = style.COLOURS["flatten"] if name == "flatten" else pale
        _face(axes, fan, colour, f"{name}-fan")
    # The nearest last: data goes to the right, and the view is from the right.
    for volume in placed.volumes:
        for face, change in _SHADES.items():
            colour = style.shade(style.COLOURS[volume.output.kind], change)
            _face(axes, volume.face(face), colour, f"{volume.output.name}-{face}")


def _face(axes: Axes, corners: Polygon, colour: str, gid: str) -> None:
    axes.fill(
        *zip(*corners, strict=True),
        facecolor=colour,
        edgecolor="#ffffff",
        linewidth=0.6 * style.POINT,
        joinstyle="round",
        gid=gid,
    )


def _legend(axes: Axes, placed: Scene, top: float) -> None:
    """The colours, and a bar for each of the scales, as long as so many pixels, channels, units."""
    shown = {volume.output.kind for volume in placed.volumes}
    for index, kind in enumerate(kind for kind in _KINDS if kind in shown):
        _keyed(axes, (_LEGEND[0], top - _LINE * index), kind, _KINDS[kind])
    for index, (what, scale) in enumerate(placed.scales.items()):
        count = 2 ** math.floor(math.log2(_LONGEST_BAR / scale))
        x, y = _LEGEND[1], top - _LINE * index
        middle, end = y + _SWATCH / 2, x + count * scale
        axes.plot((x, end), (middle, middle), color=style.INK, gid=f"scale-{what}")
        for tick in (x, end):
            axes.plot((tick, tick), (y, y + _SWATCH), color=style.INK)
        axes.text(x + _LONGEST_BAR + 8, y, f"{count} {what}")


def _keyed(axes: Axes, at: style.Point, kind: str, text: str) -> None:
    """A text after the colour of its kind."""
    axes.add_patch(Rectangle(at, _SWATCH, _SWATCH, facecolor=style.COLOURS[kind], edgecolor="none"))
    axes.text(at[0] + _INDENT, at[1], text)


def _labels(axes: Axes, column: Sequence[tuple[Shape, list[Output]]], top: style.Point) -> None:
    x, y = top
    for shape, run in column:
        y -= _LINE
        # (C, H, W) is written with the channels last, a vector's features with commas.
        last, *first = (f"{size:,}" if len(shape) == 1 else str(size) for size in shape)
        axes.text(x, y, "×".join([*first, last]), weight="bold", color=style.QUIET)
        for output in run:
            y -= _LINE
            _keyed(axes, (x, y), output.kind, output.name)
        y -= _BETWEEN_GROUPS


def _lead(axes: Axes, placed: Scene, group: int, rule: style.Point, height: float) -> None:
    """A line over a column of labels, and one from its volumes down to it."""
    shown = [volume for volume in placed.volumes if volume.output.group == group]
    corners = [corner for volume in shown for f in ("front", "side") for corner in volume.face(f)]
    left, right = (end(x for x, _ in corners) for end in (min, max))
    bottom = min(y for _, y in corners) - 5
    middle, target = (left + right) / 2, sum(rule) / 2
    axes.plot(rule, (height, height), color=style.RULE)
    axes.plot((middle, middle, target), (bottom, height + _LEADERS - 24, height), color=style.RULE)
