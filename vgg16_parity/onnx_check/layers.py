"""What a node behind the preprocessing makes of the images: one function per kind of operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.models.onnx_file import printable
from vgg16_parity.onnx_check import elementwise
from vgg16_parity.onnx_check.preprocessing import MOVES, PICKS
from vgg16_parity.onnx_check.symbolic import (
    DEQUANTIZE,
    MAPS,
    PADDING,
    QUANTIZE,
    WEIGHTED,
    FewerBits,
    NodeContext,
    Sizes,
    Step,
    SymbolicTensor,
    Untraceable,
    words,
)
from vgg16_spec.architecture import Shape


def _convolve(at: NodeContext) -> SymbolicTensor:
    x, weight, bias = at.x, at.required(1), at.constant(2)
    if x.axes != MAPS or weight.array.ndim != 4:
        raise Untraceable(f"works along {words(x.axes)}, expected {words(MAPS)}")
    if len(at.inputs) > 3:
        raise Untraceable("joins two paths, where the network has one")
    kernel = weight.array.shape[2:]
    stated = tuple(at.node.attributes.get_ints("kernel_shape") or kernel)
    if stated != kernel:
        raise Untraceable(f"says that its kernels are {stated}, they are {kernel}")
    window, (images, _, *spatial) = _window(at, kernel)
    window["group"] = (at.node.attributes.get_int("group", 1),)
    if x.steps and x.steps[-1].kind == PADDING:  # zeros around the maps, by a node of their own
        outside = x.steps[-1].sizes["pads"]
        window["pads"] = tuple(map(sum, zip(window["pads"], outside, strict=True)))
        x = replace(x, steps=x.steps[:-1])
    step = Step("convolution", at.label, weight, bias, sizes=window)
    if kernel == x.maps[2:] and not any(window["pads"]):
        # One position that sees all of the maps: a dense layer.
        matrix = replace(weight, array=weight.array.reshape(len(weight.array), -1))
        step = Step("dense layer", at.label, matrix, bias, "CHW")
    return x.then(step, (images, len(weight.array), *spatial))


def _pool(at: NodeContext) -> SymbolicTensor:
    kernel = at.node.attributes.get_ints("kernel_shape") or at.x.array.shape[2:]
    window, maps = _window(at, kernel)
    if window["kernel"] == window["strides"] == (1, 1) and not any(window["pads"]):
        return at.x  # windows of one value: what adaptive pooling to the maps' own size becomes
    kind = "max pooling" if at.operator == "MaxPool" else "average pooling"
    return at.x.then(Step(kind, at.label, sizes=window), maps, at.x.axes)


def _window(at: NodeContext, kernel: Sequence[int]) -> tuple[Sizes, Shape]:
    """A window's sizes for height and width, and the maps behind it.

    Raises ``Untraceable`` where it takes in several images or channels, or is too large.
    """
    axes, ones = at.x.axes[2:], (1,) * len(kernel)
    if not {"H", "W"} <= set(axes) or len(kernel) != len(axes):
        raise Untraceable(f"works along {words(at.x.axes)}, expected {words(MAPS)}")
    sizes = np.array(at.x.array.shape[2:])
    strides = np.array(at.node.attributes.get_ints("strides") or ones)
    dilations = np.array(at.node.attributes.get_ints("dilations") or ones)
    if strides.min() < 1:
        raise Untraceable(f"has strides of {strides.tolist()}")
    spans = (np.array(kernel) - 1) * dilations + 1
    pads = _pads(at, sizes, spans, strides)
    room = sizes + pads.sum(axis=0) - spans
    if room.min() < 0:
        raise Untraceable(f"has windows of {spans.tolist()} on maps of {sizes.tolist()}")
    table = np.array([kernel, strides, dilations, *pads, room // strides + 1])
    columns = dict(zip(axes, table.T.tolist(), strict=True))
    for axis in set(axes) - {"H", "W"}:
        if columns[axis][:-1] != [1, 1, 1, 0, 0]:
            raise Untraceable(f"takes in several of the axis {words((axis,))}")
    *rows, first, last, after = zip(columns["H"], columns["W"], strict=True)
    window = dict(zip(("kernel", "strides", "dilations"), rows, strict=True))
    return window | {"pads": first + last}, (*at.x.maps[:2], *after)


def _pads(
    at: NodeContext, sizes: NDArray[Any], spans: NDArray[Any], strides: NDArray[Any]
) -> NDArray[Any]:
    """Padding before and after each axis, (2, axes); automatic padding as numbers."""
    how = at.node.attributes.get_string("auto_pad", "NOTSET")
    pads = at.node.attributes.get_ints("pads") or (0, 0) * len(sizes)
    if how in ("NOTSET", ""):
        return np.array(pads).reshape(2, -1)
    if any(pads):
        raise Untraceable(f"has pads of {list(pads)} beside {printable(how)} padding")
    totals = np.maximum((-(-sizes // strides) - 1) * strides + spans - sizes, 0)
    if how == "VALID":
        totals = np.zeros_like(totals)
    less, more = totals // 2, totals - totals // 2
    return np.array([less, more] if how == "SAME_UPPER" else [more, less])


def _multiply(at: NodeContext) -> SymbolicTensor:
    x, weight, bias, attributes = at.x, at.required(1), at.constant(2), at.node.attributes
    matrix = weight.array
    if not attributes.get_int("transB", 0):
        matrix = matrix.T  # (in, out) -> (out, in)
    images, features = x.maps[0], matrix.shape[-1]
    if x.array.ndim != 2 or not x.keeps_images_apart or matrix.ndim != 2:
        raise Untraceable(f"multiplies {words(x.axes)}, expected (N, features) and a matrix")
    if x.array.shape[1] != features:
        raise Untraceable(f"reads {features} features where {x.array.shape[1]} come")
    factors = {name: attributes.get_float(name, 1.0) for name in ("alpha", "beta")}
    if attributes.get_int("transA", 0) or set(factors.values()) != {1.0}:
        raise Untraceable(f"transposes the images or multiplies by factors ({factors})")
    if bias is not None:
        bias = replace(bias, array=bias.array.reshape(-1))
    step = Step("dense layer", at.label, replace(weight, array=matrix), bias, x.axes[1])
    return x.then(step, (images, len(matrix), 1, 1), ("N", "C"))


def _einsum(at: NodeContext) -> SymbolicTensor:
    """A dense layer, as in ``bi,oi->bo``."""
    given, _, result = (
        at.node.attributes.get_string("equation", "").replace(" ", "").partition("->")
    )
    names = dict(zip(("x", "weight"), given.split(","), strict=True))
    x, weight = at.x, at.required(1 if at.inputs[0] is at.x else 0)
    if at.inputs[0] is not at.x:
        names = {"x": names["weight"], "weight": names["x"]}
    (images, features), (rows, columns) = tuple(names["x"]), tuple(names["weight"])
    if result == f"{images}{rows}" and columns == features:
        weight = replace(weight, array=weight.array.T)
    elif result != f"{images}{columns}" or rows != features:
        raise Untraceable(f"computes {printable(given)}->{printable(result)}")
    return _multiply(replace(at, inputs=[x, weight]))


def _add(at: NodeContext) -> SymbolicTensor:
    """A layer's bias."""
    x, constant = at.x, at.required(0 if at.inputs[1] is at.x else 1)
    along_channels = [x.maps[1] if axis == "C" else 1 for axis in x.axes]
    missing = (1,) * (x.array.ndim - constant.array.ndim)
    if [*missing, *constant.array.shape] == along_channels and x.steps:
        *before, last = x.steps
        if last.kind in WEIGHTED and (last.bias is None or not last.bias.array.any()):
            bias = replace(constant, array=constant.array.reshape(-1))
            return replace(x, steps=(*before, replace(last, bias=bias)))
    return elementwise.neutral(at)


def _fused(layer: Callable[[NodeContext], SymbolicTensor]) -> Callable[..., SymbolicTensor]:
    """ONNX Runtime's layer with a ReLU in it."""

    def fused(at: NodeContext) -> SymbolicTensor:
        activation = at.node.attributes.get_string("activation", "")
        after = layer(at)
        if activation not in ("", "Relu"):
            raise Untraceable(f"has the activation {printable(activation)} in it")
        return elementwise.rectify(replace(at, inputs=[after])) if activation else after

    return fused


def _not_followed(at: NodeContext) -> SymbolicTensor:
    reason = _NOT_FOLLOWED[at.operator]
    raise FewerBits(reason) if reason == _QUANTISED else Untraceable(reason)


def _move(at: NodeContext) -> SymbolicTensor:
    return replace(at.x, array=at.evaluate())


def _pick(at: NodeContext) -> SymbolicTensor:
    if not np.array_equal(at.evaluate(), at.x.array):
        raise Untraceable("picks or reorders values, where the network does not")
    return at.x


# Operators after which weights are no longer those of the checkpoint.
_QUANTISED: Final = "computes with quantised weights, which are not the checkpoint's"
_BLOCKED: Final = (
    "ONNX Runtime's layout for one kind of processor; check the file that it was made from"
)
_NOT_FOLLOWED: Final = MappingProxyType(
    dict.fromkeys(
        (
            *("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv"),
            *("QLinearMatMul", "com.microsoft.DynamicQuantizeMatMul"),
            *("com.microsoft.MatMulIntegerToFloat", "com.microsoft.MatMulNBits"),
            "com.microsoft.QGemm",
        ),
        _QUANTISED,
    )
    | dict.fromkeys(
        (f"com.microsoft.nchwc.{name}" for name in ("Conv", "MaxPool", "ReorderInput")), _BLOCKED
    )
)


LAYERS: Final[Mapping[str, Callable[[NodeContext], SymbolicTensor]]] = MappingProxyType(
    {
        "Add": _add,
        "Cast": elementwise.cast,
        "Clip": elementwise.clip,
        "Conv": _convolve,
        "Dropout": elementwise.drop_out,
        "Einsum": _einsum,
        "LeakyRelu": elementwise.leak,
        "Max": elementwise.largest,
        "Pad": elementwise.pad,
        "Relu": elementwise.rectify,
        "Softmax": elementwise.softmax,
        "com.microsoft.FusedConv": _fused(_convolve),
        "com.microsoft.FusedGemm": _fused(_multiply),
        "com.microsoft.FusedMatMul": _multiply,
    }
    | dict.fromkeys(_NOT_FOLLOWED, _not_followed)
    | dict.fromkeys(("Div", "Mul", "Sub"), elementwise.neutral)
    | dict.fromkeys(QUANTIZE, elementwise.quantize)
    | dict.fromkeys(DEQUANTIZE, lambda at: at.x)
    | dict.fromkeys(MOVES, _move)
    | dict.fromkeys(PICKS, _pick)
    | dict.fromkeys(("AveragePool", "GlobalAveragePool", "MaxPool"), _pool)
    | dict.fromkeys(("Gemm", "MatMul"), _multiply)
)
