"""Where each feature map stands in the drawing of the volumes, and how large: numbers alone.

Lengths are pixels of a picture 800 pixels wide, x to the right and y upwards. A map of C channels
is a box: its channels lie along x, its rows stand along y, its columns go back, drawn slanting up
to the right. Three scales are kept for a whole picture, one for the maps' sides, one for their
channels, one for the units of the dense layers, whose vectors stand upright.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from vgg16_parity.drawing.style import Point
from vgg16_spec.architecture import (
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
    Shape,
)

Kind = Literal["input", "convolution", "pointwise", "pooling", "flatten", "dense", "softmax"]
Polygon: TypeAlias = tuple[Point, ...]

WIDTH: Final = 800.0
MARGIN: Final = 24.0
# The input's height, and the longest vector's.
TALLEST_MAP: Final = 200.0
TALLEST_VECTOR: Final = 214.0
# How far back one pixel of depth goes, of the same scale: 0.46 at 34 degrees.
BACK: Final[Point] = (0.46 * math.cos(math.radians(34)), 0.46 * math.sin(math.radians(34)))
# A vector is one pixel thick: nothing to be seen. It is drawn as thick as this.
THICKNESS: Final = 8.0
_BETWEEN_VECTORS: Final = 30.0
_FAN: Final = 50.0
_AFTER_INPUT: Final = 30.0

INPUT: Final = "input"
SOFTMAX: Final = "softmax"


@dataclass(frozen=True)
class Volume:
    """One feature map, or one vector, as a box.

    Attributes:
        name: the layer whose output it is, ``input`` or ``softmax``.
        kind: what computes it.
        shape: (C, H, W), or (features,) of a vector.
        left: where the box's centre line starts.
        middle: the height of that line.
        size: the box's extent along x, along y, and back before it is slanted.
    """

    name: str
    kind: Kind
    shape: Shape
    left: float
    middle: float
    size: tuple[float, float, float]

    @property
    def right(self) -> float:
        """Where the centre line ends."""
        return self.left + self.size[0]

    def _corner(self, right: float, up: float, back: float) -> Point:
        """A corner, each argument 0 or 1."""
        width, height, depth = self.size
        return (
            self.left + right * width + (back - 0.5) * depth * BACK[0],
            self.middle + (up - 0.5) * height + (back - 0.5) * depth * BACK[1],
        )

    @property
    def front(self) -> Polygon:
        """Channels by rows."""
        return tuple(self._corner(*at, 0) for at in ((0, 0), (1, 0), (1, 1), (0, 1)))

    @property
    def top(self) -> Polygon:
        """Channels by columns."""
        return tuple(self._corner(x, 1, z) for x, z in ((0, 0), (1, 0), (1, 1), (0, 1)))

    @property
    def side(self) -> Polygon:
        """Rows by columns: one whole map, the last channel's."""
        return tuple(self._corner(1, y, z) for y, z in ((0, 0), (0, 1), (1, 1), (1, 0)))


@dataclass(frozen=True)
class Scene:
    """Everything that stands in the drawing, from the input to softmax.

    Attributes:
        volumes: in the order that data passes them.
        fans: between the vectors, and from the last map to the first of them, by the name of the
            layer that reads every value of the one before: ``flatten`` and all dense layers but the
            first.
        per_pixel: the length of one pixel of a map's height or width.
        per_channel: the length of one channel.
        per_unit: the length of one element of a vector.
    """

    volumes: tuple[Volume, ...]
    fans: dict[str, Polygon]
    per_pixel: float
    per_channel: float
    per_unit: float

    def of(self, group: int) -> tuple[Volume, ...]:
        """The volumes of a column of labels: a block with what leads to it, or the classifier."""
        return tuple(v for v in self.volumes if group_of(v.name, self.blocks) == group)

    @property
    def blocks(self) -> int:
        """How many blocks of convolutions there are."""
        return sum(volume.kind == "pooling" for volume in self.volumes)


def group_of(name: str, blocks: int) -> int:
    """Which column of labels a layer stands in, from 0: the blocks, then the classifier."""
    if name == INPUT:
        return 0
    head = name.partition("_")[0]
    return int(head.removeprefix("block")) - 1 if head != name else blocks


def kind_of(layer: Layer) -> Kind:
    """What computes a layer's output, as far as colours tell it."""
    match layer:
        case Convolution():
            return "convolution" if layer.kernel_size > 1 else "pointwise"
        case MaxPooling():
            return "pooling"
        case Flatten():
            return "flatten"
        case Dense():
            return "dense"


def scene(network: Configuration, middle: float = 0.0) -> Scene:
    """Place a configuration's volumes along the line at height ``middle``.

    ``network`` has its classifier. The scale of the channels is what fills the picture's width.
    """
    shapes = network.output_shapes()
    maps: list[tuple[str, Kind, Shape]] = [(INPUT, "input", network.input_shape)]
    vectors: list[tuple[str, Kind, Shape]] = []
    for layer in network.layers:
        if not isinstance(layer, Flatten):
            shape = shapes[layer.name]
            (maps if len(shape) == 3 else vectors).append((layer.name, kind_of(layer), shape))
    vectors.append((SOFTMAX, "softmax", vectors[-1][2]))
    per_pixel = TALLEST_MAP / network.input_size
    gaps = [_gap(name, kind, shape, per_pixel) for name, kind, shape in maps[:-1]]
    # The slant of the input to the left, then maps and gaps, then the vectors to the right margin.
    start = MARGIN + network.input_size * per_pixel * BACK[0] / 2
    head = _FAN + (len(vectors) - 2) * _BETWEEN_VECTORS + THICKNESS * len(vectors)
    room = WIDTH - MARGIN - THICKNESS * BACK[0] / 2 - start - sum(gaps) - head
    per_channel = room / sum(shape[0] for _, _, shape in maps)
    per_unit = TALLEST_VECTOR / max(shape[0] for _, _, shape in vectors)

    volumes: list[Volume] = []
    x = start
    for (name, kind, shape), gap in zip(maps, [*gaps, _FAN], strict=True):
        channels, height, columns = shape
        size = (channels * per_channel, height * per_pixel, columns * per_pixel)
        volumes.append(Volume(name, kind, shape, x, middle, size))
        x += size[0] + gap
    for name, kind, shape in vectors:
        if kind == "softmax":  # of the same values: it stands at their side
            x -= _BETWEEN_VECTORS
        size = (THICKNESS, shape[0] * per_unit, THICKNESS)
        volumes.append(Volume(name, kind, shape, x, middle, size))
        x += THICKNESS + _BETWEEN_VECTORS
    return Scene(
        tuple(volumes), _fans(volumes[len(maps) - 1 : -1]), per_pixel, per_channel, per_unit
    )


def _gap(name: str, kind: Kind, shape: Shape, per_pixel: float) -> float:
    """The room after a volume: none inside a block, more after a larger map."""
    if name == INPUT:
        return _AFTER_INPUT
    if kind != "pooling":
        return 0.0
    return 14 + 0.36 * shape[1] * per_pixel


def _fans(ends: list[Volume]) -> dict[str, Polygon]:
    """From the last map's silhouette to the first vector, and from each vector to the next."""
    fans: dict[str, Polygon] = {}
    for last, first in pairwise(ends):
        bottom, *_, top = sorted(last.side, key=lambda point: point[1])
        name = "flatten" if last.kind == "pooling" else first.name
        fans[name] = (bottom, top, first.front[3], first.front[0])
    return fans
