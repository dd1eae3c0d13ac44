"""One node of a graph and what comes to it, without a graph around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from vgg16_parity.onnx_check.layers import LAYERS
from vgg16_parity.onnx_check.symbolic import Constant, NodeContext, Step, SymbolicTensor, arrange


def images(*maps: int, steps: tuple[str, ...] = ()) -> SymbolicTensor:
    """Maps (N, C, H, W) after steps of these kinds."""
    return SymbolicTensor(arrange(maps), maps, tuple(Step(kind, kind) for kind in steps))


def node(operator: str, *inputs: Any, opset: int = 21, **attributes: Any) -> NodeContext:
    """A node named ``mine``; arrays and numbers among its inputs are constants named ``c0``, …"""
    given = [
        Constant(np.asarray(value), f"c{index}")
        if isinstance(value, np.ndarray | np.generic | int | float | list)
        else value
        for index, value in enumerate(inputs)
    ]
    names = [None if value is None else ir.val(f"i{index}") for index, value in enumerate(inputs)]
    *domain, name = operator.rsplit(".", 1)
    made = ir.node(
        name, names, attributes, domain="".join(domain), outputs=[ir.val("out")], name="mine"
    )
    return NodeContext(made, given, opset)


def made(at: NodeContext) -> SymbolicTensor:
    """What a layer's node makes of the images."""
    found = LAYERS[at.operator](at)
    assert isinstance(found, SymbolicTensor)
    return found


def same(found: Constant | None, array: Any, name: str) -> bool:
    """Whether a constant is this array of this name."""
    return found is not None and found.name == name and np.array_equal(found.array, array)
