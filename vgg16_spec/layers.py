"""The kinds of layers that VGG is made of, with the shapes of their weights and outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

Shape: TypeAlias = tuple[int, ...]

POOLING_SIZE: Final = 2


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 that keeps the resolution, followed by ReLU."""

    name: str
    in_channels: int
    out_channels: int
    kernel_size: int
    relu: ClassVar[bool] = True

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
        channels, *spatial = input_shape
        return (channels, *(size // POOLING_SIZE for size in spatial))


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
