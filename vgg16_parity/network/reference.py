"""The arbiter's forward pass: VGG16 in float64 with NumPy.

It walks ``vgg16_spec/architecture.py`` and shares no code with ``keras_impl`` or ``torch_impl``, so
it can judge either framework without the other. A convolution is the sum of one matrix product for
each kernel position. A dense layer is computed in blocks of rows, because fc1's weights take 822 MB
in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.activation import activate
from onnx_arbiter.error_model import Float64
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

_Any = TypeVar("_Any", bound=np.generic)
_Real = TypeVar("_Real", np.float32, np.float64)

_ROWS: Final = 256


@dataclass(frozen=True)
class EvaluatedLayer:
    """A layer with its input and output; maps (N, C, H, W), vectors (N, features), all float64.

    Attributes:
        layer: the layer.
        inputs: its input.
        preactivation: its output before the ReLU. Pooling and flattening are applied to
            pre-activations, so that every tap has them: a maximum and a ReLU commute.
        relu: whether a ReLU follows ``preactivation``.
    """

    layer: Layer
    inputs: Float64
    preactivation: Float64
    relu: bool


def walk(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> Iterator[EvaluatedLayer]:
    """Evaluate every layer in order.

    Args:
        checkpoint: the weights and the network's configuration.
        images: (N, 3, H, W), preprocessed.

    Raises:
        ValueError: the network does not take images of this size.
    """
    configuration = checkpoint.configuration
    configuration.check_input(images.shape[1:])
    preactivation, relu = images.astype(np.float64), False
    for layer in configuration.layers:
        inputs = activate(preactivation, relu)
        match layer:
            case Convolution() | Dense():
                preactivation = _affine(layer, checkpoint, inputs)
                relu = isinstance(layer, Convolution) or layer.relu
            case MaxPooling():
                preactivation = windows(preactivation).max(axis=-1)
            case Flatten():
                preactivation = flatten(preactivation)
        yield EvaluatedLayer(layer, inputs, preactivation, relu)


def run_with_taps(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> dict[str, Float64]:
    """Every tap by name, in order; the last tap, ``predictions``, holds the logits.

    Args:
        checkpoint: the weights and the network's configuration.
        images: (N, 3, H, W), preprocessed.

    Returns:
        Maps (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes), all float64.

    Raises:
        ValueError: the network does not take images of this size.
    """
    taps = checkpoint.configuration.taps
    return {
        each.layer.name: activate(each.preactivation, each.relu)
        for each in walk(checkpoint, images)
        if each.layer.name in taps
    }


def multiply(
    layer: WeightedLayer,
    weight: NDArray[np.float32],
    inputs: NDArray[_Real],
    *,
    squared: bool = False,
) -> NDArray[_Real]:
    """Apply a layer's weights without the bias, in the type of the inputs.

    Args:
        layer: the layer.
        weight: (out, in, kernel height, kernel width) or (out, in).
        inputs: (N, in, H, W) or (N, in).
        squared: square every weight first, which propagates variances.

    Returns:
        (N, out, H, W) or (N, out).
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
    """Reshape a bias (out,) to broadcast over outputs, (N, out) or (N, out, H, W)."""
    return bias.reshape(1, -1, *[1] * (outputs.ndim - 2))


def flatten(maps: NDArray[_Any]) -> NDArray[_Any]:
    """(N, C, H, W) -> (N, C * H * W)"""
    return maps.reshape(len(maps), -1)


def windows(maps: NDArray[_Any]) -> NDArray[_Any]:
    """The four values of every pooling window: (N, C, H, W) -> (N, C, H // 2, W // 2, 4).

    Values are in row-major order; an odd last row or column is dropped.
    """
    views = window_views(maps)
    return views.reshape(*views.shape[:4], -1)


def window_views(maps: NDArray[_Any]) -> NDArray[_Any]:
    """Writable views of the pooling windows: (N, C, H, W) -> (N, C, H // 2, W // 2, 2, 2)"""
    size = (POOLING_SIZE, POOLING_SIZE)
    views = sliding_window_view(maps, size, axis=(2, 3), writeable=True)
    return views[:, :, ::POOLING_SIZE, ::POOLING_SIZE]


def _affine(layer: WeightedLayer, checkpoint: Checkpoint, inputs: Float64) -> Float64:
    outputs = multiply(layer, checkpoint[f"{layer.name}.weight"], inputs)
    outputs += for_channels(checkpoint[f"{layer.name}.bias"].astype(np.float64), outputs)
    return outputs


def _convolve(image: NDArray[_Real], kernels: NDArray[_Real]) -> NDArray[_Real]:
    """(in, H, W) -> (out, H, W), stride 1, zero padding that keeps the size"""
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
