"""Convolutions by Winograd's algorithm and by FFTs in real float32, as an engine computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import join, tiles
from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.algorithms.winograd import Winograd, transforms
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint

Float32 = NDArray[np.float32]
Matrices = tuple[Float32, Float32, Float32]


def matrices(algorithm: Winograd) -> Matrices:
    """Aᵀ, G and Bᵀ in float32; a copy."""
    output, kernel, inputs = (
        np.array(rows, np.float64).astype(np.float32) for rows in transforms(algorithm.points)
    )
    return output, kernel, inputs


def by_winograd(images: NDArray[Any], weight: Float32, factors: Matrices) -> Float32:
    """(N, in, H, W) -> (N, out, H, W), zero padding of one."""
    output, kernel, inputs = factors
    given = (inputs @ tiles(images, *output.shape)) @ inputs.T
    kernels = (kernel @ weight) @ kernel.T
    summed = np.zeros((len(weight), *given.shape[1:]), np.float32)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    parts = (output @ summed) @ output.T
    return join(parts, *images.shape[2:])


def by_fft(images: NDArray[Any], weight: Float32, algorithm: Fft) -> Float32:
    """The same by FFTs of tiles, in complex64."""
    from scipy import fft

    size = algorithm.size
    given = fft.rfft2(np.ascontiguousarray(tiles(images, algorithm.outputs, size)))
    kernels = fft.rfft2(weight, (size, size)).conj()
    summed = np.zeros((len(weight), *given.shape[1:]), np.complex64)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    parts = fft.irfft2(summed, (size, size))[..., : algorithm.outputs, : algorithm.outputs]
    assert parts.dtype == np.float32
    return join(parts, *images.shape[2:])


def network(
    checkpoint: Checkpoint,
    images: Float32,
    factors: Matrices | Fft,
    given: Mapping[str, Float32] | None = None,
) -> dict[str, Float32]:
    """The taps of a port whose 3x3 convolutions are computed so, or its layers for given inputs."""
    taps: dict[str, Float32] = {}
    values, before = images, ""
    for layer in checkpoint.configuration.layers:
        if given is not None and before:
            values = given[before]
        match layer:
            case MaxPooling():
                values = reference.windows(values).max(axis=-1)
            case Flatten():
                values = values.reshape(len(values), -1)
                if given is not None:
                    given = {**given, before: values}
                continue
            case _:
                weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
                if isinstance(layer, Convolution) and layer.kernel_size == 3:
                    values = _convolve(values, weight, factors)
                else:
                    values = reference.multiply(layer, weight, values)
                values = values + reference.for_channels(bias, values)
                values = np.maximum(values, 0) if layer.relu else values
        before = layer.name
        taps[before] = values
    return taps


def _convolve(values: Float32, weight: Float32, factors: Matrices | Fft) -> Float32:
    if isinstance(factors, Fft):
        return by_fft(values, weight, factors)
    return by_winograd(values, weight, factors)
