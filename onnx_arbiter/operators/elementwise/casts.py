"""Changes of type.

A float type of fewer bits than float32 rounds what is stored in it, which the walk adds. Integers
of floats are steps: undecided where an error may cross one.
"""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.slopes import (
    Decision,
    RoundsNothing,
    float32_holds,
    floats,
    holds_floats,
)
from onnx_arbiter.operators.operation import Elementwise, Exact, Operation, Rule, Unsupported

# ONNX's numbers of types (TensorProto.DataType), those that NumPy knows.
_TYPES: Final = MappingProxyType(
    {
        1: "float32",
        2: "uint8",
        3: "int8",
        4: "uint16",
        5: "int16",
        6: "int32",
        7: "int64",
        9: "bool",
        10: "float16",
        11: "float64",
        12: "uint32",
        13: "uint64",
    }
)
_BFLOAT16: Final = 16
_INFINITE_IN_FLOAT16: Final = 65520.0


def type_of(number: int) -> np.dtype[Any]:
    """A type by ONNX's number.

    Raises:
        Unsupported: it is none of those that the arbiter knows.
    """
    if number == _BFLOAT16:
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if number not in _TYPES:
        raise Unsupported(f"a cast to ONNX's type {number}")
    return np.dtype(_TYPES[number])


def cast(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x in the type ``to``: see the module."""
    return _cast(inputs, type_of(int(node.get("to"))))


def cast_like(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x in the type of the second input; a computed float is taken to be of x's type."""
    like = np.asarray(inputs[1])
    if like.dtype == np.float64:
        [x] = floats(inputs[:1])
        return RoundsNothing(inputs, x, [1.0 if holds_floats(inputs[0]) else None, None])
    return _cast(inputs, like.dtype)


def _cast(inputs: Sequence[Array | None], to: np.dtype[Any]) -> Operation:
    values = np.asarray(inputs[0])
    unread: list[None] = [None] * (len(inputs) - 1)
    if not holds_floats(values):
        if to.kind in "iub":
            return Exact(inputs, [values.astype(to)])
        # Integers too large for the type are rounded, in every runtime to the same number.
        return Exact(inputs, [values.astype(to).astype(np.float64)], [to])
    [x] = floats(inputs[:1])
    if to.kind == "b":
        return Decision(inputs, x != 0, [np.abs(x), *unread])
    if to.kind in "iu":
        with np.errstate(invalid="ignore"):  # what is too large for the type is of no use
            return Decision(inputs, x.astype(to), [_to_next_integer(x), *unread])
    if to == np.float64 or (to == np.float32 and float32_holds(values)):
        return RoundsNothing(inputs, x, [1.0, *unread], [to])
    if to == np.float16:
        x = np.where(np.abs(x) < _INFINITE_IN_FLOAT16, x, np.copysign(np.inf, x))
    # The type of a computed value is not known here. What float32 adds to one of fewer bits is
    # little; to a double it is all there is.
    roundings = 1.0 if to == np.float32 else 0.0
    return Elementwise(inputs, x, [1.0, *unread], roundings, types=[to])


def _to_next_integer(values: Float64) -> Float64:
    """How far a value is from where its integer part changes: at every integer but 0."""
    nearest = np.rint(values)
    distance: Float64 = np.where(nearest == 0, 1 - np.abs(values), np.abs(values - nearest))
    return distance


RULES: Final[dict[str, Rule]] = {"Cast": cast, "CastLike": cast_like}
