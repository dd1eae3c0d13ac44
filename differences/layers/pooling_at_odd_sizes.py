"""The last row and column of a map of odd size, in pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import configuration
from vgg16_spec.layouts import contiguous, nchw_to_nhwc, nhwc_to_nchw

TITLE = "Pooling at odd sizes"
RULE = (
    "Pool with `valid` in Keras and `ceil_mode=False` in PyTorch, the defaults of both; for a "
    "network from Caffe, which rounds up, use sizes that are multiples of 32."
)

# From the smallest that VGG16 takes to twice that.
_SIZES = range(32, 65)


def run() -> Finding:
    """Apply five poolings of 2x2 in both frameworks, rounding down and rounding up."""
    down = {size: _pooled(size, up=False) for size in _SIZES}
    up = {size: _pooled(size, up=True) for size in _SIZES}
    same_down, same_up = (
        sum(np.array_equal(ours, theirs) for ours, theirs in pooled.values())
        for pooled in (down, up)
    )
    agreeing = [s for s in _SIZES if down[s][0].shape == up[s][0].shape]
    derived = configuration("D", include_top=False)
    right = all(
        down[size][0].shape[2:] == derived.output_shapes(size, size)["block5_pool"][1:]
        for size in _SIZES
    )
    ignored = _ignored_at(33)
    return Finding(
        {
            "sizes tried, 32 to 64 pixels": len(_SIZES),
            "sizes at which the frameworks agree, rounding down": same_down,
            "sizes at which the frameworks agree, rounding up": same_up,
            "sizes at which rounding down and up give maps of the same size": len(agreeing),
            "pixels of 33 x 33 that no output of one pooling reads": (ignored, "of 1,089"),
        },
        {
            "Keras's `valid` equals PyTorch's `ceil_mode=False`, and Keras's `same` equals "
            "`ceil_mode=True`, bit for bit at every size, for 2x2 windows of stride 2.": (
                same_down == same_up == len(_SIZES)
            ),
            "Rounding down gives the sizes that follow from the paper's table.": right,
            "After five poolings, rounding down and up agree only at multiples of 32.": (
                agreeing == [32, 64]
            ),
            "At an odd size, the defaults never read the last row and column.": ignored == 33 + 32,
        },
    )


def _pooled(size: int, *, up: bool) -> tuple[Any, Any]:
    """A map of distinct numbers after five poolings, (1, 1, H, W), in PyTorch and in Keras."""
    torch, keras = frameworks()
    pixels = (np.arange(size * size, dtype=np.float32) * 7919) % 4099 - 4099  # all below zero
    maps = pixels.reshape(1, 1, size, size)
    ours = torch.from_numpy(maps)
    theirs: Any = contiguous(nchw_to_nhwc(maps))
    for _ in range(5):
        ours = torch.nn.functional.max_pool2d(ours, 2, ceil_mode=up)
        theirs = keras.ops.max_pool(theirs, 2, 2, "same" if up else "valid", "channels_last")
    return ours.numpy(), nhwc_to_nchw(np.asarray(theirs))


def _ignored_at(size: int) -> int:
    """How many pixels of a map never change an output of Keras's layer."""
    _, keras = frameworks()
    pool = keras.layers.MaxPooling2D(2)
    # Each pixel in turn is the largest of its own map.
    maps = np.eye(size * size, dtype=np.float32).reshape(-1, size, size, 1)
    return int(np.count_nonzero(~np.asarray(pool(maps)).any(axis=(1, 2, 3))))
