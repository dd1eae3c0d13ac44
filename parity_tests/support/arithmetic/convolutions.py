"""3x3 convolutions by Winograd's algorithm and by FFTs, in real float32 as an engine has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import join, tiles
from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.algorithms.winograd import Winograd, transforms

Float32 = NDArray[np.float32]
Matrices = tuple[Float32, Float32, Float32]
Operand: TypeAlias = Callable[[Any], Any]


def matrices(algorithm: Winograd) -> Matrices:
    """Aᵀ, G and Bᵀ in float32; a copy."""
    output, kernel, inputs = (
        np.array(rows, np.float64).astype(np.float32) for rows in transforms(algorithm.points)
    )
    return output, kernel, inputs


def _unchanged(values: Any) -> Any:
    return values


def by_winograd(
    images: NDArray[Any], weight: Float32, factors: Matrices, operand: Operand = _unchanged
) -> Float32:
    """(N, in, H, W) -> (N, out, H, W), zero padding of one.

    ``operand`` rounds both transformed factors before they are multiplied.
    """
    output, kernel, inputs = factors
    given = operand(_both_sides(inputs, tiles(images, *output.shape)))
    kernels = operand(_both_sides(kernel, weight))
    summed = np.zeros((len(weight), *given.shape[1:]), np.float32)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    return join(_both_sides(output, summed), *images.shape[2:])


def multiplied(matrix: Float32, values: Float32) -> Float32:
    """(rows, k) @ (…, k, n), one product after the other, without fused multiply-adds."""
    total = np.zeros((*values.shape[:-2], len(matrix), values.shape[-1]), np.float32)
    for column in range(matrix.shape[1]):
        total += matrix[:, column, None] * values[..., column : column + 1, :]
    return total


def _both_sides(matrix: Float32, values: Float32) -> Float32:
    left = multiplied(matrix, values)
    return multiplied(matrix, left.swapaxes(-1, -2)).swapaxes(-1, -2)


def by_fft(
    images: NDArray[Any], weight: Float32, algorithm: Fft, operand: Operand = _unchanged
) -> Float32:
    """The same by FFTs of tiles, in complex64."""
    from scipy import fft

    size = algorithm.size
    given = operand(fft.rfft2(np.ascontiguousarray(tiles(images, algorithm.outputs, size))))
    kernels = operand(fft.rfft2(weight, (size, size)).conj())
    summed = np.zeros((len(weight), *given.shape[1:]), np.complex64)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    parts = fft.irfft2(summed, (size, size))[..., : algorithm.outputs, : algorithm.outputs]
    assert parts.dtype == np.float32
    return join(parts, *images.shape[2:])
