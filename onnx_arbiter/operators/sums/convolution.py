"""Conv and ConvTranspose of any rank, strides, dilations, groups and padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.winograd import KERNEL, WINOGRAD
from onnx_arbiter.graph import Array, Graph, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.operation import Operation, Rule, Variances, as_float, squares_of
from onnx_arbiter.operators.sums.products import Product, SumOfProducts, prepared
from onnx_arbiter.operators.sums.windows import Window, convolve

_KNOWN: Final[tuple[Algorithm, ...]] = (*WINOGRAD, *FFTS)
_ALGORITHMS: Final[Mapping[str, Algorithm]] = {algorithm.name: algorithm for algorithm in _KNOWN}


def is_by_algorithm(node: Node, graph: Graph) -> bool:
    """Whether a runtime may compute a node of a graph by one of the algorithms."""
    kernels = graph.constants.get(node.inputs[1]) if node.operator == "Conv" else None
    return kernels is not None and _fits(node, kernels.shape)


def _fits(node: Node, kernel: tuple[int, ...]) -> bool:
    """Whether a convolution is dense and has a kernel, (out, in, 3, 3), that moves by ones."""
    steps = (*node.get("strides", ()), *node.get("dilations", ()), node.get("group", 1))
    return kernel[2:] == (KERNEL, KERNEL) and set(steps) == {1}


def conv(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Conv: any rank, strides, dilations, groups and padding."""
    maps, kernels = (np.asarray(values) for values in inputs[:2])
    window = Window.of(node, maps.shape[2:], kernels.shape[2:])
    groups = node.get("group", 1)

    def product(left: NDArray[Any], right: Array, squared: bool) -> NDArray[Any]:
        return convolve(left, prepared(right, left, squared), window, groups)

    return _Convolution(inputs, product, node, window)


class _Convolution(SumOfProducts):
    """A convolution as a direct sum, or by the algorithm that a mode names."""

    def __init__(
        self,
        inputs: Sequence[Array | None],
        product: Product,
        node: Node,
        window: Window,
    ) -> None:
        kernels = np.asarray(inputs[1])
        rank, length = len(window.kernel), kernels[0].size
        super().__init__(inputs, product, length, spread=lambda bias: bias.reshape(-1, *[1] * rank))
        self._window = window
        self._output = node.outputs[0]
        self._by_algorithm = _fits(node, kernels.shape)
        # Runtimes fold factors of channels into the weights, which rounds each weight once: of the
        # 1 + K/6 roundings of S and this one, this one is the same at every position.
        self.common = 1 / (2 + length / 6)

    def own(self, mode: Mode) -> Variances:
        algorithm = _ALGORITHMS.get(mode.algorithms.get(self._output, mode.algorithm))
        if algorithm is None or not self._by_algorithm:
            return super().own(mode)
        maps, kernels = (np.asarray(values) for values in self.inputs[:2])
        # An algorithm puts one zero around the maps. Where there is none, a whole tile is put
        # before them and cut off again, so that tiles begin where the outputs do.
        tile, sizes = algorithm.outputs, self.outputs[0].shape[2:]
        pads, kept = [(0, 0), (0, 0)], [slice(None), slice(None)]
        for before, after, size in zip(self._window.before, self._window.after, sizes, strict=True):
            first = 0 if before else tile
            pads.append((before - 1 if before else tile - 1, max(after - 1, 0)))
            kept.append(slice(first, first + size))
        padded = np.pad(as_float(maps), pads)
        rounding = algorithm.rounding(padded, kernels.astype(np.float32), mode)[tuple(kept)]
        own = rounding + float32_units(mode.sums) * squares_of(self.outputs[0])
        return (own + 2 * float32_units(mode.operands) * self.squares,)


def conv_transpose(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ConvTranspose, as a convolution of maps with zeros between their elements.

    Kernels are (in, out / groups, *kernel), and turned by half a turn.
    """
    maps, kernels = (np.asarray(values) for values in inputs[:2])
    sizes, rank, groups = maps.shape[2:], kernels.ndim - 2, node.get("group", 1)
    strides = tuple(node.get("strides", (1,) * rank))
    dilations = tuple(node.get("dilations", (1,) * rank))
    spans = [(k - 1) * d + 1 for k, d in zip(kernels.shape[2:], dilations, strict=True)]
    extra = tuple(node.get("output_padding", (0,) * rank))
    full = [
        stride * (size - 1) + more + span
        for stride, size, more, span in zip(strides, sizes, extra, spans, strict=True)
    ]
    automatic, pads = node.get("auto_pad", "NOTSET"), tuple(node.get("pads", (0,) * 2 * rank))
    before, after = list(pads[:rank]), list(pads[rank:])
    wanted = node.get("output_shape")
    if automatic in ("SAME_UPPER", "SAME_LOWER") and wanted is None:
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if wanted is not None:
        sizes_wanted = tuple(wanted)[-rank:]
        # What the maps do not reach is added behind them.
        missing = [max(0, w - f) for f, w in zip(full, sizes_wanted, strict=True)]
        extra = tuple(e + m for e, m in zip(extra, missing, strict=True))
        full = [f + m for f, m in zip(full, missing, strict=True)]
        totals = [f - w for f, w in zip(full, sizes_wanted, strict=True)]
        before = [t // 2 if automatic == "SAME_UPPER" else t - t // 2 for t in totals]
        after = [t - b for t, b in zip(totals, before, strict=True)]
    width = kernels.shape[1]

    def product(left: NDArray[Any], right: Array, squared: bool) -> NDArray[Any]:
        spaced = np.zeros(
            (*left.shape[:2], *[(n - 1) * s + 1 for n, s in zip(sizes, strides, strict=True)]),
            left.dtype,
        )
        spaced[(slice(None), slice(None), *[slice(None, None, s) for s in strides])] = left
        turned = np.flip(prepared(right, left, squared), axis=tuple(range(2, 2 + rank)))
        # (in, out / groups, *kernel) -> (out, in / groups, *kernel)
        grouped = turned.reshape(groups, -1, width, *turned.shape[2:]).swapaxes(1, 2)
        grouped = grouped.reshape(groups * width, -1, *turned.shape[2:])
        window = Window(
            turned.shape[2:], (1,) * rank, dilations,
            tuple(span - 1 for span in spans),
            tuple(span - 1 + more for span, more in zip(spans, extra, strict=True)),
        )  # fmt: skip
        result = convolve(spaced, grouped, window, groups)
        kept = [slice(b, n - a) for b, a, n in zip(before, after, full, strict=True)]
        return result[(slice(None), slice(None), *kept)]

    # At most so many of a window's elements are not zeros put between.
    terms = prod(-(-k // s) for k, s in zip(kernels.shape[2:], strides, strict=True))
    return SumOfProducts(
        inputs,
        product,
        kernels.shape[0] // groups * terms,
        spread=lambda bias: bias.reshape(-1, *[1] * rank),
    )


RULES: Final[dict[str, Rule]] = {"Conv": conv, "ConvTranspose": conv_transpose}
