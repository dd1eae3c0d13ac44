"""What a node that computes something makes of the images: one function per kind of operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vgg16_parity.onnx_check.symbolic import (
    MAPS,
    WEIGHTED,
    Constant,
    Step,
    SymbolicTensor,
    UnsupportedNode,
    Value,
    label,
    words,
)


@dataclass(frozen=True)
class NodeContext:
    """A node that the images arrive at.

    Attributes:
        node: the node.
        x: the images.
        inputs: all of the node's inputs, the images among them.
        opset: of the model.
    """

    node: ir.Node
    x: SymbolicTensor
    inputs: Sequence[Value | None]
    opset: int

    def constant(self, index: int) -> Constant | None:
        """An optional input. Raises ``UnsupportedNode`` where it depends on the images."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or isinstance(value, Constant):
            return value
        raise UnsupportedNode("has weights or sizes that are computed from the images")

    def required(self, index: int) -> Constant:
        """The same for an input that the operator requires."""
        if (found := self.constant(index)) is None:
            raise UnsupportedNode("lacks an input")
        return found

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute of several numbers, or none."""
        return tuple(self.node.attributes.get_ints(name, ()) or ())

    def integer(self, name: str, default: int) -> int:
        """An attribute of one number."""
        return int(self.node.attributes.get_int(name, default) or 0)

    def step(self, kind: str) -> SymbolicTensor:
        """The images after a step that keeps their axes."""
        return self.x.then(Step(kind, label(self.node)))

    def other(self) -> SymbolicTensor:
        """The images after an operation that VGG lacks, taken to keep their axes."""
        return self.step(label(self.node).partition(" ")[0])


def _convolve(at: NodeContext) -> SymbolicTensor:
    x, weight, bias = at.x, at.required(1), at.constant(2)
    if x.axes != MAPS or weight.array.ndim != 4:
        raise UnsupportedNode(f"works along {words(x.axes)}, expected {words(MAPS)}")
    kernel = weight.array.shape[2:]
    if (stated := at.integers("kernel_shape")) and stated != kernel:
        raise UnsupportedNode(f"says that its kernels are {stated}, they are {kernel}")
    window = _window(at, kernel) | {"group": (at.integer("group", 1),)}
    maps = _maps_after(x, window)
    if kernel == x.maps[2:] and not any(window["pads"]):
        # One position that sees all of the maps: a dense layer.
        matrix = replace(weight, array=weight.array.reshape(len(weight.array), -1))
        step = Step("dense layer", label(at.node), matrix, bias, ("C", "H", "W"))
    else:
        step = Step("convolution", label(at.node), weight, bias, window=window)
    return x.then(step, (maps[0], len(weight.array), *maps[2:]))


def _pool(at: NodeContext) -> SymbolicTensor:
    window = _window(at, at.integers("kernel_shape") or at.x.maps[2:])
    if window["kernel"] == window["strides"] == (1, 1) and not any(window["pads"]):
        return at.x  # windows of one value: what adaptive pooling to the maps' own size becomes
    kind = "max pooling" if at.node.op_type == "MaxPool" else "average pooling"
    step = Step(kind, label(at.node), window=window)
    return at.x.then(step, _maps_after(at.x, window), at.x.axes)


def _window(at: NodeContext, kernel: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """A window's sizes for height and width.

    Raises ``UnsupportedNode`` where it takes in several images or channels.
    """
    axes, shape = at.x.axes[2:], at.x.positions.shape[2:]
    count = len(axes)
    strides = at.integers("strides") or (1,) * count
    dilations = at.integers("dilations") or (1,) * count
    if not {("H",), ("W",)} <= set(axes) or len(kernel) != count:
        raise UnsupportedNode(f"works along {words(at.x.axes)}, expected {words(MAPS)}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    first, last = _pads(at, shape, spans, strides)
    sizes = dict(zip(axes, zip(kernel, strides, dilations, first, last, strict=True), strict=True))
    for axis in set(axes) - {("H",), ("W",)}:
        if sizes[axis] != (1, 1, 1, 0, 0):
            raise UnsupportedNode(f"takes in several of the axis {words((axis,))}")
    kernel, strides, dilations, first, last = zip(sizes["H",], sizes["W",], strict=True)
    return {
        "kernel": kernel,
        "strides": strides,
        "dilations": dilations,
        "pads": (*first, *last),
    }


def _pads(
    at: NodeContext, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Padding before and after each axis; automatic padding as numbers."""
    count = len(sizes)
    how = at.node.attributes.get_string("auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = at.integers("pads") or (0,) * 2 * count
        return pads[:count], pads[count:]
    if how == "VALID":
        return (0,) * count, (0,) * count
    rows = zip(sizes, spans, strides, strict=True)
    totals = [max((-(-size // by) - 1) * by + span - size, 0) for size, span, by in rows]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (less, more) if how == "SAME_UPPER" else (more, less)


def _maps_after(x: SymbolicTensor, window: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The maps after a window has passed over them."""
    sizes = []
    for i, size in enumerate(x.maps[2:]):
        span = (window["kernel"][i] - 1) * window["dilations"][i] + 1
        room = size + window["pads"][i] + window["pads"][i + 2] - span
        if room < 0 or window["strides"][i] < 1:
            raise UnsupportedNode(f"has a window of {span} on maps of {size}")
        sizes.append(room // window["strides"][i] + 1)
    return (*x.maps[:2], *sizes)


def _multiply(at: NodeContext) -> SymbolicTensor:
    x, weight, bias = at.x, at.required(1), at.constant(2)
    matrix = weight.array
    if not (at.node.op_type == "Gemm" and at.integer("transB", 0)):
        matrix = matrix.T  # (in, out) -> (out, in)
    shape = x.positions.shape
    if matrix.ndim != 2 or len(shape) != 2 or shape[0] != x.maps[0]:
        shown = " × ".join(map(str, weight.array.shape))
        raise UnsupportedNode(f"multiplies {words(x.axes)} by {shown}, expected (N, features)")
    if matrix.shape[1] != shape[1]:
        raise UnsupportedNode(f"reads {matrix.shape[1]} features where {shape[1]} come")
    factors = {name: at.node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")}
    if at.integer("transA", 0) or set(factors.values()) != {1.0}:
        raise UnsupportedNode(f"transposes the images or multiplies by factors ({factors})")
    if bias is not None:
        bias = replace(bias, array=bias.array.reshape(-1))
    step = Step("dense layer", label(at.node), replace(weight, array=matrix), bias, x.axes[1])
    return x.then(step, (shape[0], len(matrix), 1, 1), (("N",), ("C",)))


def _calculate(at: NodeContext) -> SymbolicTensor:
    """Preprocessing before the first layer, a layer's bias after it."""
    x = at.x
    position = next(i for i, value in enumerate(at.inputs) if isinstance(value, Constant))
    constant = at.required(position)
    flat = _along_channels(x, constant.array)
    commutes = at.node.op_type in ("Add", "Mul")
    if flat is None or not (position == 1 or commutes) or x.dtype != ir.DataType.FLOAT:
        return at.other()
    if not x.steps:
        ufunc = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
        with np.errstate(all="ignore"):
            return replace(x, pixels=ufunc[at.node.op_type](x.pixels, flat, dtype=np.float32))
    last = x.steps[-1]
    if at.node.op_type == "Add" and last.kind in WEIGHTED and last.bias is None and flat.size > 1:
        biased = replace(last, bias=replace(constant, array=flat))
        return replace(x, steps=(*x.steps[:-1], biased))
    return at.other()


def _along_channels(x: SymbolicTensor, array: NDArray[Any]) -> NDArray[Any] | None:
    """A constant as one value for each channel, or one for all; ``None`` if it is neither."""
    shape = (1,) * (x.positions.ndim - array.ndim) + array.shape
    if len(shape) != x.positions.ndim:
        return None
    for axis, size in zip(x.axes, shape, strict=True):
        if size != 1 and (axis, size) != (("C",), x.maps[1]):
            return None
    return array.reshape(-1)


def _softmax(at: NodeContext) -> SymbolicTensor:
    axis = at.integer("axis", -1 if at.opset >= 13 else 1)
    return at.step("softmax") if at.x.positions.ndim == 2 and axis in (1, -1) else at.other()


def _drop_out(at: NodeContext) -> SymbolicTensor:
    training = at.constant(2)
    return at.other() if training is not None and training.array.any() else at.x


def _cast(at: NodeContext) -> SymbolicTensor:
    wanted = ir.DataType(at.integer("to", 0))
    if wanted == at.x.dtype:
        return at.x
    before = at.x if not at.x.steps and wanted == ir.DataType.FLOAT else at.other()
    return replace(before, dtype=wanted)


def _resize(at: NodeContext) -> SymbolicTensor:
    """A resize that keeps the size: the images already have the size that the recipe asks for.

    The attributes decide how another size would be filtered.
    """
    shape = at.x.positions.shape
    kept = [shape[i] for i in at.integers("axes")] or list(shape)
    if at.required(3).array.tolist() != kept:
        raise UnsupportedNode("resizes to another size than the recipe does")
    if at.node.attributes.get_string("mode", "nearest") != "linear":
        raise UnsupportedNode("does not resize linearly, as the recipe does")
    if not at.integer("antialias", 0):
        raise UnsupportedNode("resizes without antialiasing, unlike the recipe")
    return at.x


LAYERS: Final[Mapping[str, Callable[[NodeContext], SymbolicTensor]]] = MappingProxyType(
    {
        "AveragePool": _pool,
        "Cast": _cast,
        "Conv": _convolve,
        "Dropout": _drop_out,
        "GlobalAveragePool": _pool,
        "MaxPool": _pool,
        "Relu": lambda at: at.step("ReLU"),
        "Resize": _resize,
        "Softmax": _softmax,
    }
    | dict.fromkeys(("Gemm", "MatMul"), _multiply)
    | dict.fromkeys(("Add", "Div", "Mul", "Sub"), _calculate)
)
