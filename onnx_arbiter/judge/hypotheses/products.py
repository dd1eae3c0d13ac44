"""Mistakes in sums of products: the order of weights, biases, groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import Arrays, Mistake, with_attributes, with_input
from onnx_arbiter.judge.hypotheses.windows import padding

_LARGEST_SIDE: Final = 32


def convolutions(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Conv and ConvTranspose."""
    kernels = inputs[1]
    if kernels is None:
        return
    yield from padding(node, inputs)
    spatial = tuple(range(2, kernels.ndim))
    if max(kernels.shape[2:], default=1) > 1:
        yield Mistake("kernel", "were turned by 180°", with_input(1, lambda w: np.flip(w, spatial)))
    if kernels.ndim == 4 and kernels.shape[2] == kernels.shape[3] > 1:
        yield Mistake("kernel", "had height and width exchanged",
                      with_input(1, lambda w: w.swapaxes(2, 3)))  # fmt: skip
        yield Mistake(
            "kernel", "were turned by 180°, height and width exchanged",
            with_input(1, lambda w: np.flip(w.swapaxes(2, 3), spatial)),
        )  # fmt: skip
    if kernels.shape[0] == kernels.shape[1] > 1:
        yield Mistake("kernel", "had input and output channels exchanged",
                      with_input(1, lambda w: w.swapaxes(0, 1)))  # fmt: skip
    if (groups := node.get("group", 1)) > 1:
        yield from _groups(groups, np.asarray(inputs[0]).shape[1], kernels.shape[0])
    if any(step > 1 for step in node.get("dilations", ())):
        yield Mistake("kernel", "were not dilated", with_attributes(dilations=None))
    yield from biases(node, inputs)


def _groups(groups: int, read: int, made: int) -> Iterator[Mistake]:
    def interleaved(values: Array, axis: int) -> Array:
        moved = np.moveaxis(values, axis, 0)
        turned = moved.reshape(groups, -1, *moved.shape[1:]).swapaxes(0, 1)
        return np.moveaxis(turned.reshape(moved.shape), 0, axis)

    if made > groups:
        yield Mistake("output channels", "were interleaved between its groups",
                      with_input(1, lambda w: interleaved(w, 0)))  # fmt: skip
    if read > groups:
        yield Mistake("input channels", "were interleaved between its groups",
                      with_input(0, lambda x: interleaved(x, 1)))  # fmt: skip


def matrices(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Gemm and MatMul."""
    weights = inputs[1]
    if weights is None or weights.ndim < 2:
        return
    if weights.shape[-1] == weights.shape[-2] > 1:
        yield Mistake("weights", "were transposed", with_input(1, lambda w: w.swapaxes(-1, -2)))
    yield from biases(node, inputs)
    if weights.ndim == 2:
        axis = 1 if node.get("transB", 0) else 0
        yield from _flattened(weights.shape[axis], axis)
    for factor in ("alpha", "beta"):
        if node.get(factor, 1.0) != 1.0:
            yield Mistake(factor, "were 1", with_attributes(**{factor: 1.0}))


def _flattened(length: int, axis: int) -> Iterator[Mistake]:
    """Weights whose inputs were flattened in the order of the other layout."""
    for side in range(2, _LARGEST_SIDE + 1):
        channels, rest = divmod(length, side * side)
        if rest or channels < 2:
            continue

        def last(w: Array, shape: tuple[int, ...] = (channels, side * side)) -> Array:
            moved = np.moveaxis(w, axis, 0)
            turned = moved.reshape(*shape, -1).swapaxes(0, 1).reshape(moved.shape)
            return np.moveaxis(turned, 0, axis)

        def first(w: Array, shape: tuple[int, ...] = (side * side, channels)) -> Array:
            return last(w, shape)

        size = f"{channels} × {side} × {side}"
        yield Mistake("weights", f"were for inputs flattened as (H, W, C), of {size}",
                      with_input(1, last))  # fmt: skip
        yield Mistake("weights", f"were for inputs flattened as (C, H, W), of {size}",
                      with_input(1, first))  # fmt: skip


def biases(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """A third input that is added."""
    if len(inputs) > 2 and inputs[2] is not None and node.operator != "LayerNormalization":
        yield Mistake("bias", "were missing", with_input(2, np.zeros_like),
                      every=f"the bias of every {node.operator} were missing")  # fmt: skip
        yield Mistake("bias", "were added twice", with_input(2, lambda b: 2 * b),
                      every=f"the bias of every {node.operator} were added twice")  # fmt: skip
