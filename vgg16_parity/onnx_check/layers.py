"""What the nodes that compute something make of the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vgg16_parity.onnx_check.symbolic import (
    MAPS,
    WEIGHTED,
    Axis,
    Constant,
    NodeContext,
    Step,
    SymbolicTensor,
    UnsupportedNode,
    words,
)


def _convolve(at: NodeContext) -> SymbolicTensor:
    x = at.x
    weight, bias = at.constant(1), at.optional(2)
    if x.axes != MAPS or weight.array.ndim != 4:
        raise UnsupportedNode(f"works along {words(x.axes)}, expected {words(MAPS)}")
    kernel = weight.array.shape[2:]
    if (stated := at.integers("kernel_shape")) and stated != kernel:
        raise UnsupportedNode(f"says that its kernels are {stated}, they are {kernel}")
    window = _window(at, kernel)
    window["group"] = (at.integer("group", 1),)
    sizes = dict(x.sizes) | {"C": weight.array.shape[0]} | _sizes_after(x, window)
    if kernel == x.shape[2:] and not any(window["pads"]):
        # A dense layer in another guise: one position, which sees all of the maps.
        matrix = replace(weight, array=weight.array.reshape(len(weight.array), -1))
        step = Step("dense layer", at.label, matrix, bias, ("C", "H", "W"))
    else:
        step = Step("convolution", at.label, weight, bias, settings=window)
    return x.then(step, sizes=sizes)


def _pool(at: NodeContext) -> SymbolicTensor:
    x = at.x
    kernel = at.integers("kernel_shape")
    window = _window(at, kernel)
    if window["kernel"] == window["strides"] == (1, 1) and not any(window["pads"]):
        return x  # windows of one value: what adaptive pooling to the maps' own size becomes
    kind = {"MaxPool": "max pooling", "AveragePool": "average pooling"}[at.node.op_type]
    step = Step(kind, at.label, settings=window)
    return x.then(step, sizes=dict(x.sizes) | _sizes_after(x, window))


def _global_pool(at: NodeContext) -> SymbolicTensor:
    x = at.x
    if x.axes != MAPS:
        raise UnsupportedNode(f"works along {words(x.axes)}, expected {words(MAPS)}")
    if x.shape[2:] == (1, 1):
        return x
    step = Step("average pooling", at.label, settings={"kernel": x.shape[2:]})
    return x.then(step, sizes=dict(x.sizes) | {"H": 1, "W": 1})


def _window(at: NodeContext, kernel: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """A window's sizes for height and width. Raises ``UnsupportedNode`` where it has other axes."""
    x, spatial = at.x, at.x.axes[2:]
    count = len(spatial)
    strides = at.integers("strides") or (1,) * count
    dilations = at.integers("dilations") or (1,) * count
    if not {("H",), ("W",)} <= set(spatial) or len(kernel) != count:
        raise UnsupportedNode(f"works along {words(x.axes)}, expected {words(MAPS)}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    first, last = _pads(at, [x.size(axis) for axis in spatial], spans, strides)
    along: dict[Axis, tuple[int, ...]] = {}
    rows = zip(spatial, kernel, strides, dilations, first, last, strict=True)
    for axis, *sizes in rows:
        if axis not in (("H",), ("W",)) and sizes != [1, 1, 1, 0, 0]:
            raise UnsupportedNode(f"takes in several of the axis {words((axis,))}")
        along[axis] = tuple(sizes)
    pairs = list(zip(along["H",], along["W",], strict=True))
    window: dict[str, tuple[int, ...]] = dict(
        zip(("kernel", "strides", "dilations"), pairs, strict=False)
    )
    window["pads"] = (*pairs[3], *pairs[4])
    return window


def _pads(
    at: NodeContext, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Padding before and after, an entry an axis; automatic padding as numbers."""
    count = len(sizes)
    how = at.node.attributes.get_string("auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = at.integers("pads") or (0,) * 2 * count
        return pads[:count], pads[count:]
    if how == "VALID":
        return (0,) * count, (0,) * count
    outputs = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    rows = zip(outputs, strides, spans, sizes, strict=True)
    totals = [max((out - 1) * stride + span - size, 0) for out, stride, span, size in rows]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (less, more) if how == "SAME_UPPER" else (more, less)


def _sizes_after(x: SymbolicTensor, window: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Height and width after a window has passed over them."""
    sizes = {}
    for i, name in enumerate("HW"):
        span = (window["kernel"][i] - 1) * window["dilations"][i] + 1
        room = x.sizes[name] + window["pads"][i] + window["pads"][i + 2] - span
        if room < 0 or window["strides"][i] < 1:
            raise UnsupportedNode(f"has a window of {span} on maps of {x.sizes[name]}")
        sizes[name] = room // window["strides"][i] + 1
    return sizes


def _multiply(at: NodeContext) -> SymbolicTensor:
    x = at.x
    weight, bias = at.constant(1), at.optional(2)
    *rest, read = x.axes
    matrix = weight.array
    if not (at.node.op_type == "Gemm" and at.integer("transB", 0)):
        matrix = matrix.T  # (in, out) -> (out, in)
    if matrix.ndim != 2 or rest != [("N",)]:
        shape = " × ".join(map(str, weight.array.shape))
        raise UnsupportedNode(f"multiplies {words(x.axes)} by {shape}, expected (N, features)")
    if matrix.shape[1] != x.size(read):
        raise UnsupportedNode(f"reads {matrix.shape[1]} features where {x.size(read)} come")
    factors = {name: at.node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")}
    if at.integer("transA", 0) or set(factors.values()) != {1.0}:
        raise UnsupportedNode(
            f"multiplies by factors of its own or the other way round ({factors})"
        )
    if bias is not None:
        bias = replace(bias, array=bias.array.reshape(-1))
    step = Step("dense layer", at.label, replace(weight, array=matrix), bias, read)
    sizes = {"N": x.sizes["N"], "C": len(matrix)}
    return x.then(step, axes=(("N",), ("C",)), sizes=sizes)


def _arithmetic(at: NodeContext) -> SymbolicTensor:
    """Preprocessing before the first layer, a layer's bias after it."""
    x = at.x
    position = next(i for i, value in enumerate(at.inputs) if isinstance(value, Constant))
    constant = at.inputs[position]
    assert isinstance(constant, Constant)
    flat = _along_channels(x, constant.array)
    commutes = at.node.op_type in ("Add", "Mul")
    if flat is None or not (position == 1 or commutes) or x.dtype != ir.DataType.FLOAT:
        return at.other()
    if not x.steps:
        calculate = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
        with np.errstate(all="ignore"):
            return replace(x, pixels=calculate[at.node.op_type](x.pixels, flat, dtype=np.float32))
    last = x.steps[-1]
    if at.node.op_type == "Add" and last.kind in WEIGHTED and last.bias is None and flat.size > 1:
        biased = replace(last, bias=replace(constant, array=flat))
        return replace(x, steps=(*x.steps[:-1], biased))
    return at.other()


def _along_channels(x: SymbolicTensor, array: NDArray[Any]) -> NDArray[Any] | None:
    """A constant as one value a channel, or one for all; ``None`` where it is neither."""
    shape = (1,) * (len(x.axes) - array.ndim) + array.shape
    if len(shape) != len(x.axes) or ("C",) not in x.axes:
        return None
    for axis, size in zip(x.axes, shape, strict=True):
        if size != 1 and (axis, size) != (("C",), x.sizes["C"]):
            return None
    return array.reshape(-1)


def _activate(at: NodeContext) -> SymbolicTensor:
    return at.x.then(Step("ReLU", at.label))


def _normalise(at: NodeContext) -> SymbolicTensor:
    axis = at.integer("axis", -1 if at.opset >= 13 else 1)
    if len(at.x.axes) != 2 or axis not in (1, -1):
        return at.other()
    return at.x.then(Step("softmax", at.label))


LAYERS: Final[Mapping[str, Callable[[NodeContext], SymbolicTensor]]] = MappingProxyType(
    {
        "Add": _arithmetic,
        "AveragePool": _pool,
        "Conv": _convolve,
        "Div": _arithmetic,
        "Gemm": _multiply,
        "GlobalAveragePool": _global_pool,
        "MatMul": _multiply,
        "MaxPool": _pool,
        "Mul": _arithmetic,
        "Relu": _activate,
        "Softmax": _normalise,
        "Sub": _arithmetic,
    }
)
