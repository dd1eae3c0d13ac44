"""The arbiter: the network in float64, by NumPy alone.

It walks ``vgg16/architecture.py`` itself and shares no code with ``keras_impl`` or ``torch_impl``,
so that it can judge either where only the other is installed. A convolution is the sum of one
matrix product for each kernel position; a dense layer is done in blocks of rows, so that fc1's
weights never stand in memory as float64 at once (822 MB).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vgg16.architecture import POOLING_SIZE, Convolution, Dense, Flatten, Layer, MaxPooling
from vgg16.checkpoint import Checkpoint

Float64 = NDArray[np.float64]

_ROWS: Final = 256


def run_with_taps(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> dict[str, Float64]:
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Parameters
    ----------
    checkpoint: the weights, and through its configuration the network.
    images: (N, 3, H, W), preprocessed.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes), all float64.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    configuration = checkpoint.configuration
    configuration.check_input(images.shape[1:])
    values = images.astype(np.float64)
    taps: dict[str, Float64] = {}
    for layer in configuration.layers:
        values = _apply(layer, values, checkpoint)
        if layer.name in configuration.taps:
            taps[layer.name] = values
    return taps


def _apply(layer: Layer, inputs: Float64, checkpoint: Checkpoint) -> Float64:
    match layer:
        case Convolution():
            weight = checkpoint[f"{layer.name}.weight"].astype(np.float64)
            bias = checkpoint[f"{layer.name}.bias"].astype(np.float64)
            return np.stack([_relu(_convolve(image, weight, bias)) for image in inputs])
        case MaxPooling():
            return _pool(inputs)
        case Flatten():
            return inputs.reshape(len(inputs), -1)  # (N, C, H, W) -> (N, C * H * W)
        case Dense():
            outputs = _multiply(inputs, checkpoint[f"{layer.name}.weight"])
            outputs += checkpoint[f"{layer.name}.bias"]
            return _relu(outputs) if layer.relu else outputs


def _convolve(image: Float64, weight: Float64, bias: Float64) -> Float64:
    """(in, H, W) -> (out, H, W) with stride 1 and zero padding that keeps the size."""
    channels, height, width = image.shape
    outputs, _, kernel_size, _ = weight.shape
    margin = kernel_size // 2
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)))
    total = np.repeat(bias[:, np.newaxis], height * width, axis=1)  # (out, H * W)
    for row in range(kernel_size):
        for column in range(kernel_size):
            shifted = padded[:, row : row + height, column : column + width]
            total += weight[:, :, row, column] @ shifted.reshape(channels, -1)
    return total.reshape(outputs, height, width)


def _relu(values: Float64) -> Float64:
    return np.maximum(values, 0)  # NaN stays NaN


def _pool(maps: Float64) -> Float64:
    """(N, C, H, W) -> (N, C, H // 2, W // 2); an odd last row or column is dropped."""
    images, channels, height, width = maps.shape
    rows, columns = height // POOLING_SIZE, width // POOLING_SIZE
    whole = maps[:, :, : rows * POOLING_SIZE, : columns * POOLING_SIZE]
    windows = whole.reshape(images, channels, rows, POOLING_SIZE, columns, POOLING_SIZE)
    pooled: Float64 = windows.max(axis=(3, 5))
    return pooled


def _multiply(inputs: Float64, weight: NDArray[np.float32]) -> Float64:
    """(N, in) and (out, in) -> (N, out)"""
    blocks = [
        inputs @ weight[start : start + _ROWS].astype(np.float64).T
        for start in range(0, len(weight), _ROWS)
    ]
    return np.concatenate(blocks, axis=1)
