"""Mistakes planted in an exported graph by editing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

Edit: TypeAlias = Callable[[onnx.ModelProto], None]


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node of that name."""
    found: onnx.NodeProto = next(node for node in model.graph.node if node.name == name)
    return found


def remove(model: onnx.ModelProto, name: str) -> None:
    """Remove a node; its readers read its input instead."""
    node = node_of(model, name)
    for other in model.graph.node:
        other.input[:] = [node.input[0] if i == node.output[0] else i for i in other.input]
    model.graph.node.remove(node)


def append(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Append nodes to the graph; the last one's output becomes the graph's."""
    model.graph.node.extend(nodes)
    model.graph.output[0].name = nodes[-1].output[0]


def change_weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """An edit that applies a function to a copy of an initializer's values."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        values = np.asarray(change(numpy_helper.to_array(tensor).copy()), order="C")
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return edit


def set_weight(name: str, values: np.ndarray) -> Edit:
    """An edit that gives an initializer other values."""
    return change_weight(name, lambda _: values)


def set_attribute(node: str, name: str, value: object) -> Edit:
    """An edit that gives a node an attribute, or an attribute another value."""

    def edit(model: onnx.ModelProto) -> None:
        found = node_of(model, node)
        kept = [entry for entry in found.attribute if entry.name != name]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def set_operator(node: str, operator: str) -> Edit:
    """An edit that makes a node one of another operator."""

    def edit(model: onnx.ModelProto) -> None:
        node_of(model, node).op_type = operator

    return edit
