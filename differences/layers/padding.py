"""Keras's ``same`` padding and PyTorch's explicit padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from differences.harness.numbers import whole_numbers
from vgg16_spec.layouts import contiguous, nchw_to_nhwc, nhwc_to_nchw, oihw_to_hwio

TITLE = "`same` and explicit padding"
RULE = (
    "Wherever a convolution's stride is above 1, pad explicitly in Keras, `ZeroPadding2D(1)` "
    "and then `valid`; at stride 1, a 3x3 kernel's `same` equals `padding=1`."
)


def run() -> Finding:
    """Run one convolution in both frameworks, at both strides, on even and odd sizes."""
    stride_1 = {size: _differing(size, 1, "same") for size in (8, 9, 14, 15)}
    even, odd, explicit = (
        _differing(14, 2, "same"),
        _differing(15, 2, "same"),
        _differing(14, 2, "explicit"),
    )
    shifted = _differing(14, 2, "same", one_side=True)
    elements = 3 * 7 * 7
    return Finding(
        {
            "elements that differ, stride 1, even and odd sizes": sum(stride_1.values()),
            "elements that differ, stride 2, 14 pixels": (even, f"of {elements}"),
            "elements that differ, stride 2, 15 pixels": odd,
            "elements that differ, stride 2, 14 pixels, padded explicitly": explicit,
            "elements that differ, stride 2, 14 pixels, PyTorch padded as `same` does": shifted,
        },
        {
            "At stride 1, `same` equals `padding=1` for a 3x3 kernel, bit for bit.": (
                not any(stride_1.values())
            ),
            "At stride 2 and an even size both outputs have the same shape, and most elements "
            "differ; at an odd size none does.": even > elements / 2 and odd == 0,
            "Padded explicitly, Keras agrees with PyTorch; and PyTorch gives the result of "
            "`same` if only the right and the lower side are padded.": (
                explicit == 0 and shifted == 0
            ),
        },
    )


def _differing(size: int, stride: int, padding: str, *, one_side: bool = False) -> int:
    """How many outputs of a 3x3 convolution, 2 maps to 3, differ between the frameworks.

    All values are whole numbers, so that every order of summation gives the same result.

    Args:
        size: the maps' height and width.
        stride: the convolution's.
        padding: in Keras: ``same``, or ``explicit`` for one pixel on every side.
        one_side: whether PyTorch pads one pixel on the right and below instead of on every side.
    """
    torch, keras = frameworks()
    maps = whole_numbers(2 * size * size, 7).reshape(1, 2, size, size)
    kernel = whole_numbers(3 * 2 * 9, 5).reshape(3, 2, 3, 3)
    margins = (0, 1, 0, 1) if one_side else (1, 1, 1, 1)
    padded = torch.nn.functional.pad(torch.from_numpy(maps), margins)
    ours = torch.nn.functional.conv2d(padded, torch.from_numpy(kernel), stride=stride).numpy()
    layer = keras.layers.Conv2D(
        3, 3, stride, "same" if padding == "same" else "valid", use_bias=False
    )
    values: Any = contiguous(nchw_to_nhwc(maps))
    if padding == "explicit":
        values = keras.layers.ZeroPadding2D(1)(values)
    layer.build(tuple(values.shape))
    layer.kernel.assign(oihw_to_hwio(kernel))
    theirs = nhwc_to_nchw(np.asarray(layer(values)))
    assert ours.shape == theirs.shape
    return int(np.count_nonzero(ours != theirs))
