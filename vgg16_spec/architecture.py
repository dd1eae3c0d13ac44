"""Table 1 of Simonyan & Zisserman (2014), "Very Deep Convolutional Networks", as data.

The paper (arXiv:1409.1556) gives five configurations, columns A to E of Table 1; section 2.1 fixes
what they share: 3x3 convolutions of stride 1 that keep the resolution, ReLU after every hidden
layer, 2x2 max pooling of stride 2 after each of five blocks, two hidden dense layers of 4096 units
and one output a class. "VGG16" is column D. Everything else here is derived from these few lines:
names, shapes, parameters, multiply-adds, taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from vgg16_spec.errors import BadInput, require_one_of

Shape: TypeAlias = tuple[int, ...]

IMAGE_CHANNELS: Final = 3
IMAGENET_CLASSES: Final = 1000
POOLING_SIZE: Final = 2


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 that keeps the resolution, followed by ReLU."""

    name: str
    in_channels: int
    out_channels: int
    kernel_size: int
    relu: Literal[True] = True

    @property
    def padding(self) -> int:
        """Pixels of zero on each side (section 2.1: the resolution is preserved)."""
        return self.kernel_size // 2

    @property
    def weight_shape(self) -> Shape:
        """(out, in, kernel height, kernel width)"""
        return (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in, H, W) -> (out, H, W)"""
        return (self.out_channels, *input_shape[1:])


@dataclass(frozen=True)
class MaxPooling:
    """Max pooling over 2x2 windows with stride 2; an odd last row or column is dropped."""

    name: str

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C, H // 2, W // 2)"""
        return (input_shape[0], *(side // POOLING_SIZE for side in input_shape[1:]))


@dataclass(frozen=True)
class Flatten:
    """The feature maps as one vector."""

    name: str

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C * H * W,)"""
        return (math.prod(input_shape),)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; the hidden ones are followed by ReLU."""

    name: str
    in_features: int
    out_features: int
    relu: bool

    @property
    def weight_shape(self) -> Shape:
        """(out, in)"""
        return (self.out_features, self.in_features)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in,) -> (out,)"""
        return (*input_shape[:-1], self.out_features)


Layer: TypeAlias = Convolution | MaxPooling | Flatten | Dense
WeightedLayer: TypeAlias = Convolution | Dense


@dataclass(frozen=True)
class Configuration:
    """One column of Table 1, with the classifier that section 2.1 puts on top.

    Attributes:
        name: the column's letter, or ``tiny``.
        column: one string a block, in the paper's notation without its word ``conv``: ``"3-64
            1-64"`` is a 3x3 and then a 1x1 convolution of 64 channels.
        hidden_units: the width of fc1 and fc2.
        input_size: height and width of the input image in pixels.
        classes: the number of outputs.
        include_top: whether the classifier (flatten, fc1, fc2, predictions) belongs to the network.
    """

    name: str
    column: tuple[str, ...]
    hidden_units: int = 4096
    input_size: int = 224
    classes: int = IMAGENET_CLASSES
    include_top: bool = True

    @property
    def input_shape(self) -> Shape:
        """(3, H, W) of one image."""
        return (IMAGE_CHANNELS, self.input_size, self.input_size)

    @property
    def minimum_size(self) -> int:
        """The smallest height and width that leaves one pixel after the last pooling."""
        return int(POOLING_SIZE ** len(self.column))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order, dropout aside (it computes nothing when the network is used)."""
        layers: list[Layer] = []
        channels = IMAGE_CHANNELS
        for block, convolutions in enumerate(self.column, 1):
            for index, convolution in enumerate(convolutions.split(), 1):
                kernel_size, out_channels = map(int, convolution.split("-"))
                name = f"block{block}_conv{index}"
                layers.append(Convolution(name, channels, out_channels, kernel_size))
                channels = out_channels
            layers.append(MaxPooling(f"block{block}_pool"))
        if self.include_top:
            map_size = self.input_size // self.minimum_size
            flat = channels * map_size**2
            layers += (
                Flatten("flatten"),
                Dense("fc1", flat, self.hidden_units, relu=True),
                Dense("fc2", self.hidden_units, self.hidden_units, relu=True),
                Dense("predictions", self.hidden_units, self.classes, relu=False),
            )
        return tuple(layers)

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The convolutions in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Convolution))

    @property
    def weighted_layers(self) -> tuple[WeightedLayer, ...]:
        """The layers that have a weight and a bias, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Convolution | Dense))

    @property
    def taps(self) -> tuple[str, ...]:
        """The names of the outputs that runtimes are compared at, in order.

        Every layer that computes: convolutions and hidden dense layers after their ReLU, pooling,
        and ``predictions`` before any softmax. ``flatten`` only moves values.
        """
        return tuple(layer.name for layer in self.layers if not isinstance(layer, Flatten))

    @property
    def feature_shape(self) -> Shape:
        """(C, H, W) of the last pooling's output at the configuration's input size."""
        return self.output_shapes()[f"block{len(self.column)}_pool"]

    def output_shapes(
        self, height: int | None = None, width: int | None = None
    ) -> dict[str, Shape]:
        """The output shape of every layer for one image, (C, H, W) or (features,), by name.

        Height and width default to the configuration's input size.

        Raises ``ValueError`` for a size that the network does not take.
        """
        sides = (self.input_size if side is None else side for side in (height, width))
        shape: Shape = (IMAGE_CHANNELS, *sides)
        self.check_input(shape)
        shapes: dict[str, Shape] = {}
        for layer in self.layers:
            shapes[layer.name] = shape = layer.output_shape(shape)
        return shapes

    def check_input(
        self, shape: Sequence[int | None], *, channels_last: bool = False, dense: bool = False
    ) -> None:
        """Raise ``ValueError`` unless an image of this shape can be the network's input.

        ``shape`` is (3, H, W), or (H, W, 3) with ``channels_last``; a height or width of ``None``
        stands for any, which a network with its classifier takes only where it is applied
        ``dense``-ly: then neither side may be smaller than its own input size.
        """
        received = tuple(shape)
        channels, *sides = (received[-1:] + received[:-1]) if channels_last else received
        if self.include_top and not dense:
            size = str(self.input_size)
            fits = all(side == self.input_size for side in sides)
        else:
            least = self.input_size if self.include_top else self.minimum_size
            size = f"at least {least}"
            fits = all(side is None or side >= least for side in sides)
        if not fits or channels != IMAGE_CHANNELS or len(sides) != 2:
            expected = f"{size}, {size}, 3" if channels_last else f"3, {size}, {size}"
            raise ValueError(
                f"configuration {self.name} received an input of shape "
                f"({', '.join(map(str, received))}), expected ({expected})"
            )

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """Canonical tensor name -> shape, in canonical order (OIHW, (out, in) and (out,))."""
        shapes: dict[str, Shape] = {}
        for layer in self.weighted_layers:
            shapes[f"{layer.name}.weight"] = layer.weight_shape
            shapes[f"{layer.name}.bias"] = layer.weight_shape[:1]
        return shapes

    def parameters(self, layer_name: str | None = None) -> int:
        """The number of trainable values, in the whole network or in one layer."""
        return sum(
            math.prod(shape)
            for name, shape in self.weight_shapes.items()
            if layer_name in (None, name.rpartition(".")[0])
        )

    def multiply_adds(self, layer_name: str | None = None) -> int:
        """Multiplications (each with its addition) for one image, in all or in one layer.

        Biases, ReLU and pooling are not counted, as is the convention.
        """
        shapes = self.output_shapes()
        return sum(
            math.prod(layer.weight_shape) * math.prod(shapes[layer.name][1:])
            for layer in self.weighted_layers
            if layer_name in (None, layer.name)
        )

    def with_head(self, *, include_top: bool = True, classes: int | None = None) -> Configuration:
        """The same column without its classifier, or with another number of classes.

        Raises ``BadInput``, a ``ValueError``, for a number of classes below one.
        """
        if classes is not None and classes < 1:
            raise BadInput("classes", f"is {classes}", "at least 1")
        return replace(self, include_top=include_top, classes=classes or self.classes)


# Table 1: blocks are separated by slashes.
_COLUMNS: Final = {
    "A": "3-64 / 3-128 / 3-256 3-256 / 3-512 3-512 / 3-512 3-512",
    "B": "3-64 3-64 / 3-128 3-128 / 3-256 3-256 / 3-512 3-512 / 3-512 3-512",
    "C": "3-64 3-64 / 3-128 3-128 / 3-256 3-256 1-256 / 3-512 3-512 1-512 / 3-512 3-512 1-512",
    "D": "3-64 3-64 / 3-128 3-128 / 3-256 3-256 3-256 / 3-512 3-512 3-512 / 3-512 3-512 3-512",
    "E": (
        "3-64 3-64 / 3-128 3-128 / 3-256 3-256 3-256 3-256"
        " / 3-512 3-512 3-512 3-512 / 3-512 3-512 3-512 3-512"
    ),
}
# D's topology, small. The input is 64 pixels so that the last feature map is 2x2: on a 1x1 map (32
# pixels) the orders CHW and HWC are the same, and a port that forgets fc1's permutation would pass.
_TINY: Final = Configuration(
    "tiny",
    ("3-4 3-4", "3-6 3-6", "3-8 3-8 3-8", "3-12 3-12 3-12", "3-12 3-12 3-12"),
    hidden_units=32,
    input_size=64,
)
CONFIGURATIONS: Final = MappingProxyType(
    {name: Configuration(name, tuple(column.split(" / "))) for name, column in _COLUMNS.items()}
    | {_TINY.name: _TINY}
)


def configuration(
    name: str, *, include_top: bool = True, classes: int = IMAGENET_CLASSES
) -> Configuration:
    """The configuration of that name: ``A``, ``B``, ``C``, ``D``, ``E`` or ``tiny``.

    Raises ``BadInput``, a ``ValueError``, for another name or a number of classes below one.
    """
    known = require_one_of("configuration", name, tuple(CONFIGURATIONS))
    return CONFIGURATIONS[known].with_head(include_top=include_top, classes=classes)
