"""What an algorithm of a convolution tells the error model, and the tiles it works on."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.numeric_modes import Mode

# Values of transformed tiles that are held at a time, of the inputs and the outputs each.
CHUNK_VALUES: Final = 1 << 22


class Algorithm(Protocol):
    """An algorithm for a convolution, which rounds otherwise than a direct sum does."""

    @property
    def name(self) -> str:
        """Its name in notes."""

    @property
    def outputs(self) -> int:
        """How many rows and columns of outputs a tile has."""

    def rounding(self, images: Float64, weight: NDArray[np.float32], mode: Mode) -> Float32:
        """The variance that the algorithm adds to a 3x3 convolution, zero padding 1, stride 1.

        Args:
            images: the layer's exact inputs, (N, in, H, W).
            weight: (out, in, 3, 3).
            mode: the numeric mode.

        Returns:
            (N, out, H, W), in units of u²/3 for float32, before the bias is added. The error that
            the input brings along is not in it: every algorithm carries it as a direct sum does.
        """


def tiles(images: NDArray[Any], outputs: int, size: int) -> Float32:
    """Overlapping tiles of the padded input: (N, C, H, W) -> (C, N, rows, columns, size, size).

    A tile of ``size`` by ``size`` inputs gives ``outputs`` by ``outputs`` outputs; the first tile's
    are those in the upper left corner. Past the edges the input is zero.
    """
    counts = [-(-length // outputs) for length in images.shape[2:]]
    after = [
        count * outputs + size - outputs - 1 - length
        for count, length in zip(counts, images.shape[2:], strict=True)
    ]
    padded = np.pad(images.astype(np.float32), ((0, 0), (0, 0), *((1, end) for end in after)))
    views = sliding_window_view(padded, (size, size), axis=(2, 3))
    return views[:, :, ::outputs, ::outputs].transpose(1, 0, 2, 3, 4, 5)


def join(parts: Float32, height: int, width: int) -> Float32:
    """Undo the tiling: (out, N, rows, columns, m, m) -> (N, out, height, width)"""
    outputs, count, rows, columns, size, _ = parts.shape
    joined = parts.transpose(1, 0, 2, 4, 3, 5).reshape(count, outputs, rows * size, columns * size)
    return joined[:, :, :height, :width]
