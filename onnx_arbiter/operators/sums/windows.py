"""Convolutions of any rank in NumPy, in the type of their inputs: windows by kernels, in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.graph import Node

# Values of windows that are laid out at a time.
_WINDOWS: Final = 1 << 22


@dataclass(frozen=True)
class Window:
    """How a kernel moves over maps; one number for each spatial axis.

    Attributes:
        kernel, strides, dilations: sizes.
        before, after: zeros, or nothing for a pooling, beside the maps.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
        """The window that a node's attributes describe over maps of some sizes."""
        rank = len(kernel)
        strides = tuple(node.get("strides", (1,) * rank))
        dilations = tuple(node.get("dilations", (1,) * rank))
        automatic = node.get("auto_pad", "NOTSET")
        pads = tuple(node.get("pads", (0,) * 2 * rank))
        before, after = pads[:rank], pads[rank:]
        if automatic == "VALID":
            before = after = (0,) * rank
        elif automatic in ("SAME_UPPER", "SAME_LOWER"):
            totals = [
                max(0, (-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size)
                for size, stride, k, dilation in zip(sizes, strides, kernel, dilations, strict=True)
            ]
            small = tuple(total // 2 for total in totals)
            large = tuple(total - total // 2 for total in totals)
            before, after = (small, large) if automatic == "SAME_UPPER" else (large, small)
        return cls(tuple(kernel), strides, dilations, before, after)

    def spans(self) -> tuple[int, ...]:
        """How many elements of a map a window reaches over, along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def padded(self, maps: NDArray[Any], value: float = 0) -> NDArray[Any]:
        """(N, C, *sizes) with the padding."""
        if not any(self.before + self.after):
            return maps
        pads = ((0, 0), (0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(maps, pads, constant_values=value)

    def views(self, padded: NDArray[Any]) -> NDArray[Any]:
        """The windows of padded maps: (N, C, *sizes) -> (N, C, *positions, *kernel)"""
        rank = len(self.kernel)
        views = sliding_window_view(padded, self.spans(), axis=tuple(range(2, 2 + rank)))
        steps = tuple(slice(None, None, stride) for stride in self.strides)
        inside = tuple(slice(None, None, dilation) for dilation in self.dilations)
        return views[(slice(None), slice(None), *steps, *inside)]


def convolve(
    maps: NDArray[Any], kernels: NDArray[Any], window: Window, groups: int = 1
) -> NDArray[Any]:
    """(N, C, *sizes), (out, C / groups, *kernel) -> (N, out, *positions)"""
    views = window.views(window.padded(maps))
    rank = len(window.kernel)
    positions = views.shape[2 : 2 + rank]
    outputs, width = kernels.shape[0] // groups, kernels[0].size
    total = np.empty((len(maps), kernels.shape[0], *positions), maps.dtype)
    if prod(positions) == 0:
        return total
    if kernels.shape[1] == 1 and width < 64:
        return _by_taps(views, kernels, total, groups)
    matrix = kernels.reshape(groups, outputs, width)
    # (N, C, *positions, *kernel) -> (N, C, *kernel, *positions)
    last = tuple(range(2 + rank, 2 + 2 * rank))
    views = views.transpose(0, 1, *last, *range(2, 2 + rank))
    row = max(1, prod(positions[1:]))
    rows = max(1, _WINDOWS // (width * groups * row))
    for image, result in zip(views, total, strict=True):
        for start in range(0, positions[0], rows):
            part = image[(slice(None),) * (1 + rank) + (slice(start, start + rows),)]
            columns = part.reshape(groups, width, -1)
            block = result.reshape(groups, outputs, -1)[..., start * row : (start + rows) * row]
            np.matmul(matrix, columns, out=block)
    return total


def _by_taps(
    views: NDArray[Any], kernels: NDArray[Any], total: NDArray[Any], groups: int
) -> NDArray[Any]:
    """A depthwise convolution, one element of the kernels after the other."""
    each = kernels.shape[0] // groups
    grouped = total.reshape(len(total), groups, each, *total.shape[2:])
    grouped[:] = 0
    rank = total.ndim - 2
    spread = (slice(None), slice(None), *[None] * rank)
    product = np.empty_like(grouped)
    for place in np.ndindex(*kernels.shape[2:]):
        weight = kernels[(slice(None), 0, *place)].reshape(groups, each)[spread]
        np.multiply(weight, views[(..., *place)][:, :, None], out=product)
        grouped += product
    return total
