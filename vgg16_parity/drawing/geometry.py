"""Where each feature map stands in the drawing of the volumes, and how large: numbers alone.

Lengths are pixels, x to the right and y upwards. A map of C channels is a box: its channels lie
along x, its rows stand along y, its columns go back, drawn slanting up to the right. Three scales
are kept for a whole picture, one for the maps' sides, one for their channels, one for the units of
the dense layers, whose vectors stand upright.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from vgg16_parity.drawing.style import MARGIN, WIDTH, Point
from vgg16_spec.architecture import Configuration, Convolution, Layer, MaxPooling, Shape

Polygon: TypeAlias = tuple[Point, ...]
Face = Literal["side", "top", "front"]

# The input's height, and the longest vector's.
_TALLEST_MAP: Final = 200.0
_TALLEST_VECTOR: Final = 214.0
# How far back one pixel of depth goes, of the same scale: 0.46 at 34 degrees.
BACK: Final[Point] = (0.46 * math.cos(math.radians(34)), 0.46 * math.sin(math.radians(34)))
# A vector is one pixel thick: nothing to be seen. It is drawn as thick as this.
_THICKNESS: Final = 8.0
_BETWEEN_VECTORS: Final = 30.0
_FAN: Final = 50.0
_AFTER_INPUT: Final = 30.0
# The corners of each face: 0 or 1 along the box's extent to the right, up and back. The side shows
# one whole map, the last channel's.
_FACES: Final[dict[Face, tuple[tuple[int, int, int], ...]]] = {
    "side": ((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)),
    "top": ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)),
    "front": ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)),
}


@dataclass(frozen=True)
class Output:
    """What a layer computes: a feature map or a vector."""

    name: str  # the layer, "input" or "softmax"
    kind: str  # what computes it, as far as colours tell it
    shape: Shape  # (C, H, W), or (features,) of a vector
    group: int  # its column of labels, from 0: the blocks, then the classifier


@dataclass(frozen=True)
class Volume:
    """An output as a box."""

    output: Output
    left: float  # where the box's centre line starts
    middle: float  # the height of that line
    size: tuple[float, float, float]  # along x, along y, and back before it is slanted

    def face(self, name: Face) -> Polygon:
        """The corners of a face."""
        width, height, depth = self.size
        return tuple(
            (
                self.left + right * width + (back - 0.5) * depth * BACK[0],
                self.middle + (up - 0.5) * height + (back - 0.5) * depth * BACK[1],
            )
            for right, up, back in _FACES[name]
        )


@dataclass(frozen=True)
class Scene:
    """Everything that stands in the drawing, from the input to softmax."""

    volumes: tuple[Volume, ...]
    # From the last map to the first vector and from each vector to the next, by the name of the
    # layer that reads every value of the one before: flatten and all dense layers but the first.
    fans: dict[str, Polygon]
    # The length of one pixel of a map's side, of one channel, and of one element of a vector.
    scales: dict[str, float]


def outputs(network: Configuration) -> list[Output]:
    """Every output of a configuration with its classifier, in order."""
    shapes = network.output_shapes()
    found = [Output("input", "input", network.input_shape, 0)]
    group = 0
    for layer in network.layers:
        found.append(Output(layer.name, _kind(layer), shapes[layer.name], group))
        group += isinstance(layer, MaxPooling)
    return [*found, Output("softmax", "softmax", found[-1].shape, group)]


def _kind(layer: Layer) -> str:
    if isinstance(layer, Convolution):
        return "convolution" if layer.kernel_size > 1 else "pointwise"
    return "pooling" if isinstance(layer, MaxPooling) else type(layer).__name__.lower()


def scene(network: Configuration, middle: float = 0.0) -> Scene:
    """Place a configuration's volumes along the line at height ``middle``.

    ``network`` has its classifier. The scale of the channels is what fills the picture's width.
    """
    shown = [output for output in outputs(network) if output.kind != "flatten"]
    maps = [output.shape for output in shown if len(output.shape) == 3]
    vectors = [output.shape[0] for output in shown[len(maps) :]]
    per_pixel = _TALLEST_MAP / network.input_size
    per_unit = _TALLEST_VECTOR / max(vectors)
    gaps = [
        *(_gap(output, per_pixel) for output in shown[: len(maps) - 1]),
        _FAN,
        *[_BETWEEN_VECTORS] * (len(vectors) - 2),
        0.0,  # softmax has the same values: it stands at their side
    ]
    # The slant of the input to the left, then maps and gaps, then the vectors to the right margin.
    start = MARGIN + network.input_size * per_pixel * BACK[0] / 2
    end = WIDTH - MARGIN - _THICKNESS * BACK[0] / 2
    room = end - start - sum(gaps) - _THICKNESS * len(vectors)
    per_channel = room / sum(channels for channels, *_ in maps)

    volumes: list[Volume] = []
    x = start
    for output, gap in zip(shown, [*gaps, 0.0], strict=True):
        if len(output.shape) == 3:
            channels, height, columns = output.shape
            size = (channels * per_channel, height * per_pixel, columns * per_pixel)
        else:
            size = (_THICKNESS, output.shape[0] * per_unit, _THICKNESS)
        volumes.append(Volume(output, x, middle, size))
        x += size[0] + gap
    scales = {"pixels of height": per_pixel}
    scales |= {"channels": per_channel, "units of a vector": per_unit}
    return Scene(tuple(volumes), _fans(volumes[len(maps) - 1 : -1]), scales)


def _gap(output: Output, per_pixel: float) -> float:
    """The room after a map: none inside a block, more after a larger one."""
    if output.kind == "input":
        return _AFTER_INPUT
    return 14 + 0.36 * output.shape[1] * per_pixel if output.kind == "pooling" else 0.0


def _fans(ends: list[Volume]) -> dict[str, Polygon]:
    """From the last map's silhouette to the first vector, and from each vector to the next."""
    fans: dict[str, Polygon] = {}
    for last, first in pairwise(ends):
        bottom, *_, top = sorted(last.face("side"), key=lambda point: point[1])
        lower, _, _, upper = first.face("front")
        name = "flatten" if last.output.kind == "pooling" else first.output.name
        fans[name] = (bottom, top, upper, lower)
    return fans
