"""Array moves between the frameworks' weight and image layouts; no value is ever changed.

O and I are output and input channels or features, H and W height and width, C channels, N images.
The canonical checkpoint and PyTorch keep convolutions as OIHW and dense layers as (out, in); Keras
keeps HWIO and (in, out). Functions return views where NumPy can; the
moves of fc1 copy.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16.architecture import Shape

Array: TypeAlias = NDArray[Any]

_BLOCK: Final = 64


def oihw_to_hwio(kernel: Array) -> Array:
    """(out, in, kH, kW) -> (kH, kW, in, out)"""
    return kernel.transpose(2, 3, 1, 0)


def hwio_to_oihw(kernel: Array) -> Array:
    """(kH, kW, in, out) -> (out, in, kH, kW)"""
    return kernel.transpose(3, 2, 0, 1)


def oi_to_io(kernel: Array) -> Array:
    """(out, in) -> (in, out)"""
    return kernel.transpose(1, 0)


def io_to_oi(kernel: Array) -> Array:
    """(in, out) -> (out, in)"""
    return kernel.transpose(1, 0)


def fc1_chw_to_hwc(kernel: Array, feature_shape: Shape) -> Array:
    """(out, C * H * W) -> (H * W * C, out)

    Flattening NCHW maps gives the order C, H, W; flattening NHWC maps gives H, W, C. The first
    dense layer's inputs must follow, and here become the first axis as well. ``feature_shape`` is
    the last map's (C, H, W).
    """
    channels, height, width = feature_shape
    outputs = len(kernel)
    moved = np.empty((height * width * channels, outputs), kernel.dtype)
    source = kernel.reshape(outputs, channels, height * width)  # (out, C, H * W)
    target = moved.reshape(height * width, channels, outputs)  # (H * W, C, out)
    # A block of outputs at a time stays in the processor's cache.
    for start in range(0, outputs, _BLOCK):
        block = slice(start, start + _BLOCK)
        target[:, :, block] = source[block].transpose(2, 1, 0)
    return moved


def fc1_hwc_to_chw(kernel: Array, feature_shape: Shape) -> Array:
    """(H * W * C, out) -> (out, C * H * W)

    The inverse of :func:`fc1_chw_to_hwc`; ``feature_shape`` is the last map's (C, H, W).
    """
    channels, height, width = feature_shape
    outputs = kernel.shape[1]
    moved = np.empty((outputs, channels * height * width), kernel.dtype)
    source = kernel.reshape(height * width, channels, outputs)  # (H * W, C, out)
    target = moved.reshape(outputs, channels, height * width)  # (out, C, H * W)
    for start in range(0, outputs, _BLOCK):
        block = slice(start, start + _BLOCK)
        target[block] = source[:, :, block].transpose(2, 1, 0)
    return moved


def canonical_to_keras(name: str, values: Array, feature_shape: Shape) -> Array:
    """A canonical tensor in Keras's layout: OIHW -> HWIO, (out, in) -> (in, out), fc1 by HWC."""
    if name == "fc1.weight":
        return fc1_chw_to_hwc(values, feature_shape)
    match values.ndim:
        case 4:
            return oihw_to_hwio(values)
        case 2:
            return oi_to_io(values)
        case _:
            return values


def keras_to_canonical(name: str, values: Array, feature_shape: Shape) -> Array:
    """A tensor of Keras's in canonical layout: the inverse of :func:`canonical_to_keras`."""
    if name == "fc1.weight":
        return fc1_hwc_to_chw(values, feature_shape)
    match values.ndim:
        case 4:
            return hwio_to_oihw(values)
        case 2:
            return io_to_oi(values)
        case _:
            return values


def keras_shape_to_canonical(shape: Shape) -> Shape:
    """(kH, kW, in, out) -> (out, in, kH, kW); (in, out) -> (out, in); (out,) stays."""
    if len(shape) == 4:
        height, width, inputs, outputs = shape
        return (outputs, inputs, height, width)
    return shape[::-1]


def nchw_to_nhwc(images: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C)"""
    return images.transpose(0, 2, 3, 1)


def nhwc_to_nchw(images: Array) -> Array:
    """(N, H, W, C) -> (N, C, H, W)"""
    return images.transpose(0, 3, 1, 2)


def contiguous(array: Array) -> Array:
    """The same values, laid out in memory in the order of the axes (a copy only if needed)."""
    return np.ascontiguousarray(array)
