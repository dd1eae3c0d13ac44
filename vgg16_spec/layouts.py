"""Array moves between the frameworks' weight and image layouts; no value is ever changed.

O and I are output and input channels or features, H and W height and width, C channels, N images.
The canonical checkpoint and PyTorch keep convolutions as OIHW and dense layers as (out, in); Keras
keeps HWIO and (in, out). Functions return views where NumPy can.
"""

from __future__ import annotations

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array as Array
from vgg16_spec.blocks import contiguous as contiguous


def oihw_to_hwio(kernel: Array) -> Array:
    """(out, in, kH, kW) -> (kH, kW, in, out)"""
    return kernel.transpose(2, 3, 1, 0)


def hwio_to_oihw(kernel: Array) -> Array:
    """(kH, kW, in, out) -> (out, in, kH, kW)"""
    return kernel.transpose(3, 2, 0, 1)


def keras_view(name: str, values: Array, feature_shape: Shape) -> Array:
    """A canonical tensor in Keras's order: OIHW -> HWIO, (out, in) -> (in, out); nothing is copied.

    Flattening NCHW maps gives the order C, H, W; flattening NHWC maps gives H, W, C. fc1's inputs
    must follow, and here become axes: (out, C * H * W) -> (H, W, C, out). ``feature_shape`` is the
    last map's (C, H, W).
    """
    if name == "fc1.weight":
        values = values.reshape(-1, *feature_shape)
    return oihw_to_hwio(values) if values.ndim == 4 else values.T


def canonical_view(name: str, values: Array, feature_shape: Shape) -> Array:
    """A tensor of Keras's in canonical order, fc1 as (out, C, H, W): inverse of `keras_view`."""
    if name == "fc1.weight":
        channels, height, width = feature_shape
        values = values.reshape(height, width, channels, -1)
    return hwio_to_oihw(values) if values.ndim == 4 else values.T


def canonical_to_keras(name: str, values: Array, feature_shape: Shape) -> Array:
    """A canonical tensor in Keras's layout: OIHW -> HWIO, (out, in) -> (in, out), fc1 by HWC.

    fc1 is copied, (out, C * H * W) -> (H * W * C, out); the others are views.
    """
    moved = keras_view(name, values, feature_shape)
    return moved if moved.ndim == values.ndim else contiguous(moved).reshape(-1, len(values))


def keras_to_canonical(name: str, values: Array, feature_shape: Shape) -> Array:
    """A tensor of Keras's in canonical layout: the inverse of `canonical_to_keras`."""
    moved = canonical_view(name, values, feature_shape)
    return moved if moved.ndim == values.ndim else contiguous(moved).reshape(len(moved), -1)


def keras_shape_to_canonical(shape: Shape) -> Shape:
    """(kH, kW, in, out) -> (out, in, kH, kW); (in, out) -> (out, in); (out,) stays."""
    return (*shape[:-3:-1], *shape[:-2])


def keras_shape(shape: Shape) -> Shape:
    """(out, in, kH, kW) -> (kH, kW, in, out); (out, in) -> (in, out); (out,) stays."""
    return (*shape[2:], *shape[1::-1])


def nchw_to_nhwc(images: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C)"""
    return images.transpose(0, 2, 3, 1)


def nhwc_to_nchw(images: Array) -> Array:
    """(N, H, W, C) -> (N, C, H, W)"""
    return images.transpose(0, 3, 1, 2)
