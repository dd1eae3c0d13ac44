"""Mistakes in what a window reads: padding, sizes, and which pool it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import (
    Arrays,
    Change,
    Mistake,
    as_operator,
    outputs_of,
    with_attributes,
)

_SAME: Final = ("SAME_UPPER", "SAME_LOWER")
_TWINS: Final = {"MaxPool": "AveragePool", "GlobalMaxPool": "GlobalAveragePool"}
_OF_POOLS: Final = ("kernel_shape", "strides", "pads", "auto_pad", "dilations", "ceil_mode")


def padding(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Padding on another side, of another amount, or of other values."""
    rank = np.asarray(inputs[0]).ndim - 2
    pads = tuple(node.get("pads", (0,) * 2 * rank))
    automatic = node.get("auto_pad", "NOTSET")
    if automatic in _SAME:
        other = _SAME[1 - _SAME.index(automatic)]
        yield _padding(node, "were the same on both sides", _symmetric)
        yield _padding(node, "were on the other side", with_attributes(auto_pad=other))
        yield Mistake("padding", "were missing", with_attributes(auto_pad="VALID"))
        return
    if pads[:rank] != pads[rank:]:
        yield _padding(
            node, "were on the other side", with_attributes(pads=pads[rank:] + pads[:rank])
        )
    if any(pads):
        yield _padding(
            node,
            "were TensorFlow's SAME, with less before than after",
            with_attributes(pads=None, auto_pad="SAME_UPPER"),
        )
        after = tuple(
            before + behind for before, behind in zip(pads[:rank], pads[rank:], strict=True)
        )
        yield Mistake("padding", "were all after the values, none before",
                      with_attributes(pads=(0,) * rank + after))  # fmt: skip
        yield Mistake("padding", "were missing", with_attributes(pads=(0,) * 2 * rank))
        if node.operator == "Conv":
            yield Mistake("padding", "reflected the values", _padded("reflect"))
            yield Mistake("padding", "repeated the edge", _padded("edge"))


def _padding(node: Node, rest: str, change: Change) -> Mistake:
    every = f"the padding of every {node.operator} {rest}"
    return Mistake("padding", rest, change, every=every, wider=f"every padding {rest}")


def _symmetric(node: Node, inputs: Arrays) -> Sequence[Array]:
    kernel = node.get("kernel_shape") or np.asarray(inputs[1]).shape[2:]
    dilations = node.get("dilations", (1,) * len(kernel))
    half = tuple((size - 1) * step // 2 for size, step in zip(kernel, dilations, strict=True))
    return with_attributes(auto_pad=None, pads=half * 2)(node, inputs) or ()


def _padded(mode: Literal["reflect", "edge"]) -> Change:
    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        maps = np.asarray(inputs[0])
        rank = maps.ndim - 2
        pads = node.get("pads")
        widths = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        padded = np.pad(maps, widths, mode=mode)
        bare = replace(node, attributes={**node.attributes, "pads": (0,) * 2 * rank})
        return outputs_of(bare, [padded, *inputs[1:]])

    return change


def pools(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Pools: how the last window is counted, and maximum or average."""
    if node.operator in ("MaxPool", "AveragePool"):
        ceil = node.get("ceil_mode", 0)
        yield Mistake(
            "ceil_mode", f"were {1 - ceil}", with_attributes(ceil_mode=1 - ceil),
            every=f"the ceil_mode of every pool were {1 - ceil}",
        )  # fmt: skip
        yield from padding(node, inputs)
    if node.operator == "AveragePool":
        counted = node.get("count_include_pad", 0)
        yield Mistake(
            "average", f"{'left out' if counted else 'included'} the padding",
            with_attributes(count_include_pad=1 - counted),
            every=f"every average {'left out' if counted else 'included'} the padding",
        )  # fmt: skip
    of_pool = {name: node.attributes[name] for name in _OF_POOLS if name in node.attributes}
    for maximum, average in _TWINS.items():
        if node.operator == maximum:
            yield Mistake("", "took the average, not the maximum", as_operator(average, **of_pool),
                          every="every pool took the average, not the maximum")  # fmt: skip
        if node.operator == average:
            yield Mistake("", "took the maximum, not the average", as_operator(maximum, **of_pool),
                          every="every pool took the maximum, not the average")  # fmt: skip
    if node.operator.startswith("Reduce"):
        for other, what in (("ReduceMean", "mean"), ("ReduceSum", "sum"), ("ReduceMax", "maximum")):
            if node.operator != other:
                yield Mistake("", f"took the {what}", as_operator(other, **node.attributes))


def resizing(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Resize: coordinates, rounding, interpolation."""
    del inputs
    mode = node.get("mode", "nearest")
    transformation = node.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.get("nearest_mode", "round_prefer_floor")
    for coordinates in ("align_corners", "half_pixel", "asymmetric", "pytorch_half_pixel"):
        if coordinates != transformation:
            yield Mistake(
                "coordinates", f"were {coordinates}",
                with_attributes(coordinate_transformation_mode=coordinates),
                every=f"every Resize had the coordinates {coordinates}",
            )  # fmt: skip
    if mode == "nearest":
        others = ("asymmetric", "half_pixel", "align_corners")
        for coordinates in dict.fromkeys((transformation, *others)):
            for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
                if nearest != rounding:
                    words = f"rounding were {nearest}"
                    if coordinates != transformation:
                        words = f"{words} and its coordinates {coordinates}"
                    noun, rest = words.split(" ", 1)
                    yield Mistake(noun, rest, with_attributes(
                        coordinate_transformation_mode=coordinates, nearest_mode=nearest,
                    ))  # fmt: skip
    for other in ("nearest", "linear", "cubic"):
        if other != mode:
            yield Mistake("mode", f"were {other}", with_attributes(mode=other))
    if mode == "cubic":
        for number in (-0.5, -0.75):
            yield Mistake(
                "cubic coefficient", f"were {number}", with_attributes(cubic_coeff_a=number)
            )
    antialias = node.get("antialias", 0)
    words = "did not smooth beforehand" if antialias else "smoothed beforehand (antialias)"
    yield Mistake("", words, with_attributes(antialias=1 - antialias))
