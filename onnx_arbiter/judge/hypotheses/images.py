"""Mistakes in how a network's inputs are given: the order of colours, the layout, the range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array

_COLOURS: Final = 3
_AXES: Final = 4


def misread(name: str, values: Array) -> Iterator[tuple[str, Array]]:
    """What a port may make of an input, and the words for it.

    Args:
        name: of the input.
        values: images, (N, C, H, W) or (N, H, W, C); nothing is known of others.
    """
    if values.ndim != _AXES or values.dtype.kind != "f":
        return
    for axis in (1, 3):
        if values.shape[axis] == _COLOURS:
            words = f"the channels of the input {name} were in reverse order (RGB for BGR)"
            yield words, np.flip(values, axis)
    height, width = (2, 3) if values.shape[1] <= values.shape[3] else (1, 2)
    if values.shape[height] == values.shape[width]:
        yield f"the input {name} had height and width exchanged", values.swapaxes(height, width)
    yield f"the input {name} were mirrored", np.flip(values, width)
    yield f"the input {name} were upside down", np.flip(values, height)
    for made, other in (("NCHW", "NHWC"), ("NHWC", "NCHW")):
        turned = np.moveaxis(values, 1, -1) if made == "NCHW" else np.moveaxis(values, -1, 1)
        words = f"the input {name} had been reshaped from {other} to {made}, not transposed"
        yield words, turned.reshape(values.shape)
    yield f"the input {name} were divided by 255", values / 255
    yield f"the input {name} were multiplied by 255", values * 255.0
