"""Small graphs written as text, what they compute, and what is left of them as one expression."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from export.graph import canonical

# What a free axis is when a graph is run.
FREE: Final = 2
# Whole numbers up to this one are exact in float32, and so are sums that stay below.
_EXACT: Final = 2**24


def parsed(signature: str, body: str, **constants: list[int]) -> ir.Model:
    """A graph of opset 18 with inferred shapes.

    ``signature`` and ``body`` are in ONNX's textual syntax, which has no dot in names: an input
    ``fc1__bias`` is called ``fc1.bias``. Constants are int64 initializers.
    """
    stored = ", ".join(
        f"int64[{len(values)}] {name} = {{{', '.join(map(str, values))}}}"
        for name, values in constants.items()
    )
    header = '<ir_version: 8, opset_import: ["" : 18, "elsewhere" : 1]>'
    proto = onnx.parser.parse_model(f"{header} test {signature} <{stored}> {{ {body} }}")
    model: ir.Model = ir.from_proto(proto)
    for value in model.graph.inputs:
        value.name = str(value.name).replace("__", ".")
    canonical.infer_shapes(model)
    return model


def serialised(model: ir.Model) -> bytes:
    """The graph as a file."""
    stored: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return stored


def expression(model: ir.Model) -> str:
    """What the graph's outputs are, from its inputs: ``Relu(Transpose(x, perm=(1, 0)))``."""
    return "; ".join(map(_written, model.graph.outputs))


def _written(value: ir.Value | None) -> str:
    if value is None:
        return "none"
    node = value.producer()
    if node is None:
        constant = value.const_value
        return str(value.name) if constant is None else str(constant.numpy().tolist())
    arguments = [*map(_written, node.inputs), *attributes(node)]
    return f"{node.op_type}({', '.join(arguments)})"


def attributes(node: ir.Node) -> list[str]:
    """``name=value`` of each attribute, by name."""
    return [f"{name}={node.attributes[name].value}" for name in sorted(node.attributes)]


def values(model: ir.Model, *operators: type[OpRun]) -> list[NDArray[Any]]:
    """The graph's outputs in ONNX's reference evaluator, for different whole numbers everywhere.

    No sum is rounded, so that two graphs for the same function give the same bits. ``operators``
    take the place of the evaluator's own.
    """
    evaluator = ReferenceEvaluator(ir.to_proto(model), new_ops=list(operators))
    return _exact(evaluator.run(None, _inputs(model)))


def values_in_onnxruntime(model: ir.Model) -> list[NDArray[Any]]:
    """The same in ONNX Runtime, for what onnx's evaluator gets wrong: automatic padding."""
    session = onnxruntime.InferenceSession(serialised(model), providers=["CPUExecutionProvider"])
    names = {entry.name for entry in session.get_inputs()}
    inputs = {name: array for name, array in _inputs(model).items() if name in names}
    return _exact(session.run(None, inputs))


def _inputs(model: ir.Model) -> dict[str, NDArray[np.float32]]:
    return {
        str(value.name): _numbers(
            index, [size if isinstance(size, int) else FREE for size in sizes]
        )
        for index, value in enumerate(model.graph.inputs)
        if (sizes := value.shape) is not None
    }


def _exact(found: Any) -> list[NDArray[Any]]:
    assert all(np.abs(array).max() < _EXACT for array in found)
    return list(found)


def _numbers(seed: int, sizes: Iterable[int]) -> NDArray[np.float32]:
    """An array of different whole numbers of both signs, in no order."""
    shape = tuple(sizes)
    count = math.prod(shape)
    shuffled = np.random.default_rng(seed).permutation(count) - count // 2
    return shuffled.reshape(shape).astype(np.float32)


def same_values(ours: Iterable[NDArray[Any]], theirs: Iterable[NDArray[Any]]) -> bool:
    """Whether outputs are equal, shapes and bits."""
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


class MaxPool(OpRun):
    """Max pooling over any number of axes, which the evaluator's own does not know."""

    op_domain = ""

    def _run(
        self,
        x: NDArray[np.float32],
        *,
        kernel_shape: list[int],
        dilations: list[int] | None = None,
        pads: list[int] | None = None,
        strides: list[int] | None = None,
        **_: Any,
    ) -> tuple[NDArray[np.float32]]:
        axes = tuple(range(x.ndim - len(kernel_shape), x.ndim))
        steps = dilations or [1] * len(axes)
        begins, ends = np.reshape(pads or [0] * 2 * len(axes), (2, -1))
        around = [(0, 0)] * axes[0] + list(zip(begins, ends, strict=True))
        padded = np.pad(x, around, constant_values=-np.inf)
        extents = [(size - 1) * step + 1 for size, step in zip(kernel_shape, steps, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axes)
        every = [slice(None)] * axes[0]
        every += [slice(None, None, step) for step in (*(strides or [1] * len(axes)), *steps)]
        found: NDArray[np.float32] = windows[tuple(every)].max(axis=tuple(range(-len(axes), 0)))
        return (found,)
