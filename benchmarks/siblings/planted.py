"""Mistakes that are planted in a graph, one at a time.

They are made in the ONNX file, at one node, so that the value that goes wrong first is known.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import convert_attribute

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Planted:
    """A mistake in a graph.

    Attributes:
        name: what is wrong.
        node: the name of the node.
        values: those of which the first wrong one must be.
    """

    name: str
    node: str
    values: tuple[str, ...]


# Changes a node of the model, and undoes it; False where it does not apply to the node.
Change: TypeAlias = Callable[[ir.Model, ir.Node], "Callable[[], None] | None"]


def _attribute(name: str, change: Callable[[Any], Any], default: Any) -> Change:
    """Another value of an attribute; ``change`` returns None where it does not apply."""

    def apply(model: ir.Model, node: ir.Node) -> Callable[[], None] | None:
        del model
        before = node.attributes.get(name)
        value = change(default if before is None else before.value)
        if value is None:
            return None
        node.attributes[name] = convert_attribute(name, value)

        def undo() -> None:
            if before is None:
                del node.attributes[name]
            else:
                node.attributes[name] = before

        return undo

    return apply


def _weight(index: int, change: Callable[[Array], Array | None]) -> Change:
    """Other values of a constant input."""

    def apply(model: ir.Model, node: ir.Node) -> Callable[[], None] | None:
        if len(node.inputs) <= index or (value := node.inputs[index]) is None:
            return None
        if value.const_value is None or not value.is_initializer():
            return None
        made = change(value.const_value.numpy())
        if made is None:
            return None
        name = f"{value.name}.planted"
        other = ir.Value(name=name, const_value=ir.tensor(made, name=name))
        model.graph.register_initializer(other)
        node.replace_input_with(index, other)

        def undo() -> None:
            node.replace_input_with(index, value)
            del model.graph.initializers[name]

        return undo

    return apply


def _operator(name: str, **attributes: Any) -> Change:
    """Another operator on the first input."""

    def apply(model: ir.Model, node: ir.Node) -> Callable[[], None]:
        del model
        before = node.op_type, dict(node.attributes), list(node.inputs)
        node.op_type = name
        node.attributes.clear()
        for key, value in attributes.items():
            node.attributes[key] = convert_attribute(key, value)
        node.resize_inputs(1)

        def undo() -> None:
            node.op_type = before[0]
            node.attributes.clear()
            node.attributes.update(before[1])
            node.resize_inputs(len(before[2]))
            for index, value in enumerate(before[2]):
                node.replace_input_with(index, value)

        return undo

    return apply


def _without_shortcut(model: ir.Model, node: ir.Node) -> Callable[[], None] | None:
    """Leave out the second of two computed addends of one shape."""
    first, second = node.inputs
    if first is None or second is None or first.is_initializer() or second.is_initializer():
        return None
    if first.shape is None or first.shape != second.shape:
        return None
    return _operator("Identity")(model, node)


def _one_sided(pads: Any) -> Any:
    half = len(pads) // 2
    if not any(pads) or list(pads[:half]) != list(pads[half:]):
        return None
    return [0] * half + [2 * pad for pad in pads[:half]]


def _turned(kernels: Array) -> Array | None:
    if kernels.ndim < 4 or max(kernels.shape[2:]) == 1:
        return None
    return np.ascontiguousarray(np.flip(kernels, axis=(2, 3)))


def _transposed(kernels: Array) -> Array | None:
    if kernels.ndim != 4 or kernels.shape[2] != kernels.shape[3] or kernels.shape[2] == 1:
        return None
    return np.ascontiguousarray(kernels.transpose(0, 1, 3, 2))


def _exchanged(weights: Array) -> Array | None:
    if len(weights) < 2 or weights.ndim < 2:
        return None
    made = weights.copy()
    made[[0, 1]] = weights[[1, 0]]
    return made


def _largest_doubled(weights: Array) -> Array:
    made = weights.copy()
    made.reshape(-1)[np.abs(made).argmax()] *= 2
    return made


def _through_half(weights: Array) -> Array:
    return weights.astype(np.float16).astype(np.float32)


def _scaled(bias: Array) -> Array | None:
    return bias * np.float32(1.001) if np.any(bias) else None


# Name -> operators -> the change. The first eight that apply to a network are planted.
MISTAKES: Final = MappingProxyType(
    {
        "epsilon of another framework": (
            ("BatchNormalization", "LayerNormalization"),
            _attribute("epsilon", lambda old: 1e-3 if old < 1e-4 else 1e-5, 1e-5),
        ),
        "one bias times 1.001": (("Conv", "Gemm"), _weight(2, _scaled)),
        "scale of a normalisation times 1.001": (
            ("BatchNormalization", "LayerNormalization"),
            _weight(1, lambda scale: scale * np.float32(1.001)),
        ),
        "GELU by tanh": (("Gelu",), _attribute("approximate", lambda _: "tanh", "none")),
        "padding on one side": (("Conv",), _attribute("pads", _one_sided, ())),
        "kernel turned by half a turn": (("Conv",), _weight(1, _turned)),
        "leaky ReLU": (("Relu",), _operator("LeakyRelu", alpha=0.01)),
        "ReLU for ReLU6": (("Clip",), _operator("Relu")),
        "softmax over another axis": (("Softmax",), _attribute("axis", lambda _: 1, -1)),
        "two output channels exchanged": (("Conv", "Gemm"), _weight(1, _exchanged)),
        "weights through float16": (("Conv", "Gemm", "MatMul"), _weight(1, _through_half)),
        "one weight doubled": (("Conv", "Gemm", "MatMul"), _weight(1, _largest_doubled)),
        "kernel transposed": (("Conv",), _weight(1, _transposed)),
        "shortcut left out": (("Add",), _without_shortcut),
        "bias without its smallest bits": (("Conv", "Gemm"), _weight(2, _through_half)),
        "padding counted in a mean": (
            ("AveragePool",),
            _attribute("count_include_pad", lambda old: 1 - old, 0),
        ),
    }
)


def planted(model: ir.Model, name: str, rng: np.random.Generator) -> Generator[Planted, None, None]:
    """Plant a mistake at one node after the other, in random order, of those that it applies to.

    The model has it until the next one is asked for, or the iterator is closed.
    """
    operators, change = MISTAKES[name]
    nodes = [node for node in model.graph if node.op_type in operators and node.domain == ""]
    for index in rng.permutation(len(nodes)).tolist():
        node = nodes[index]
        if (undo := change(model, node)) is None:
            continue
        try:
            outputs = tuple(str(value.name) for value in node.outputs)
            yield Planted(name, str(node.name), outputs)
        finally:
            undo()
