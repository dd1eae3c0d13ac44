"""The arbiter: the network in float64, by NumPy alone.

It walks ``vgg16_spec/architecture.py`` itself and shares no code with ``keras_impl`` or ``torch_impl``,
so that it can judge either where only the other is installed. A convolution is the sum of one
matrix product for each kernel position; a dense layer is done in blocks of rows, so that fc1's
weights never stand in memory as float64 at once (822 MB).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import (
    POOLING_SIZE,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
    WeightedLayer,
)
from vgg16_spec.checkpoint import Checkpoint

Float64 = NDArray[np.float64]
_Real = TypeVar("_Real", np.float32, np.float64)

_ROWS: Final = 256


@dataclass(frozen=True)
class Step:
    """One layer of the walk; maps are (N, C, H, W), vectors (N, features), all float64.

    Attributes:
        layer: the layer.
        inputs: what it reads.
        before: its output before the ReLU. Pooling and flattening move such values as they move the
            outputs (a maximum and a ReLU may change places), so that every tap has them.
        relu: whether a ReLU stands between ``before`` and ``outputs``.
        outputs: what it gives.
    """

    layer: Layer
    inputs: Float64
    before: Float64
    relu: bool
    outputs: Float64


def walk(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> Iterator[Step]:
    """Every layer in order, on (N, 3, H, W) preprocessed images.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    configuration = checkpoint.configuration
    configuration.check_input(images.shape[1:])
    outputs = before = images.astype(np.float64)
    relu = False
    for layer in configuration.layers:
        inputs = outputs
        match layer:
            case Convolution() | Dense():
                before = _affine(layer, checkpoint, inputs)
                relu = isinstance(layer, Convolution) or layer.relu
                outputs = rectify(before) if relu else before
            case MaxPooling():
                before = _pool(before)
                outputs = rectify(before) if relu else before
            case Flatten():
                before = flatten(before)
                outputs = flatten(inputs)
        yield Step(layer, inputs, before, relu, outputs)


def run_with_taps(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> dict[str, Float64]:
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Args:
        checkpoint: the weights, and through its configuration the network.
        images: (N, 3, H, W), preprocessed.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes), all float64.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    taps = checkpoint.configuration.taps
    steps = walk(checkpoint, images)
    return {step.layer.name: step.outputs for step in steps if step.layer.name in taps}


def multiply(
    layer: WeightedLayer,
    weight: NDArray[np.float32],
    inputs: NDArray[_Real],
    *,
    squared: bool = False,
) -> NDArray[_Real]:
    """What the layer's weights make of its inputs, without the bias, in the inputs' own type.

    Args:
        layer: which layer.
        weight: (out, in, kernel height, kernel width), or (out, in).
        inputs: (N, in, H, W), or (N, in).
        squared: take the square of every weight instead, as variances propagate.
    """
    kind = inputs.dtype.type

    def prepared(part: NDArray[np.float32]) -> NDArray[_Real]:
        values: NDArray[_Real] = part.astype(kind)
        return values * values if squared else values

    if isinstance(layer, Convolution):
        kernels = prepared(weight)
        return np.stack([_convolve(image, kernels) for image in inputs])
    blocks = [
        inputs @ prepared(weight[start : start + _ROWS]).T for start in range(0, len(weight), _ROWS)
    ]
    return np.concatenate(blocks, axis=1)


def for_channels(bias: NDArray[_Real], outputs: NDArray[Any]) -> NDArray[_Real]:
    """A bias (out,) in the shape that adds it to outputs, (N, out) or (N, out, H, W)."""
    return bias.reshape(1, -1, *[1] * (outputs.ndim - 2))


def rectify(values: Float64) -> Float64:
    """ReLU; NaN stays NaN."""
    return np.maximum(values, 0)


def flatten(maps: NDArray[_Real]) -> NDArray[_Real]:
    """(N, C, H, W) -> (N, C * H * W)"""
    return maps.reshape(len(maps), -1)


def windows(maps: NDArray[_Real]) -> NDArray[_Real]:
    """What each pooling window holds: (N, C, H, W) -> (N, C, H // 2, W // 2, 4).

    Row by row from the upper left; an odd last row or column is dropped.
    """
    images, channels, height, width = maps.shape
    rows, columns = height // POOLING_SIZE, width // POOLING_SIZE
    whole = maps[:, :, : rows * POOLING_SIZE, : columns * POOLING_SIZE]
    split = whole.reshape(images, channels, rows, POOLING_SIZE, columns, POOLING_SIZE)
    return split.transpose(0, 1, 2, 4, 3, 5).reshape(images, channels, rows, columns, -1)


def _affine(layer: WeightedLayer, checkpoint: Checkpoint, inputs: Float64) -> Float64:
    outputs = multiply(layer, checkpoint[f"{layer.name}.weight"], inputs)
    outputs += for_channels(checkpoint[f"{layer.name}.bias"].astype(np.float64), outputs)
    return outputs


def _convolve(image: NDArray[_Real], kernels: NDArray[_Real]) -> NDArray[_Real]:
    """(in, H, W) -> (out, H, W) with stride 1 and zero padding that keeps the size."""
    channels, height, width = image.shape
    outputs, _, kernel_size, _ = kernels.shape
    margin = kernel_size // 2
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)))
    total = np.zeros((outputs, height * width), image.dtype)
    for row in range(kernel_size):
        for column in range(kernel_size):
            shifted = padded[:, row : row + height, column : column + width]
            total += kernels[:, :, row, column] @ shifted.reshape(channels, -1)
    return total.reshape(outputs, height, width)


def _pool(maps: Float64) -> Float64:
    """(N, C, H, W) -> (N, C, H // 2, W // 2)"""
    pooled: Float64 = windows(maps).max(axis=-1)
    return pooled
