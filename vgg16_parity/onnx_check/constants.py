"""What a graph computes of constants alone, within limits: a small file may ask for any size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import onnx_ir as ir

from vgg16_parity.onnx_check.preprocessing import MOVES, PICKS
from vgg16_parity.onnx_check.symbolic import (
    DEQUANTIZE,
    QUANTIZE,
    Constant,
    NodeContext,
    Untraceable,
    quantized_type,
)

# How exporters compute shapes. Operands are so small that two, broadcast, stay small.
_ARITHMETIC: Final = (
    *(
        "Add",
        "Ceil",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Floor",
        "Max",
        "Min",
        "Mod",
        "Mul",
    ),
    *("ReduceMin", "ReduceProd", "Round", "Sqrt", "Sub", "Where", *PICKS),
)
_LARGEST_OPERAND: Final = 4096
# Operators of any number of operands, of which few may make a value of any size.
_BROADCAST: Final = ("Max", "Min", "Where")
_MOST_VALUES: Final = _LARGEST_OPERAND**2
# What the constants that a graph computes may take together: the weights of a VGG in float32, for
# a file that stores fewer bits.
_MOST_BYTES: Final = 600_000_000


class Constants(dict[ir.Value, Constant]):
    """What depends on weights alone, and the bytes that computing constants has taken so far."""

    computed = 0

    def compute(self, at: NodeContext) -> Constant:
        """What a node makes of constants, within the bytes that they may take together."""
        if _makes_text(at):
            raise Untraceable("makes text, of which a network has none")
        if at.operator == "Cast":
            kind = ir.DataType(at.node.attributes.get_int("to", 0)).numpy()
            self._require(at.required(0).array.size * kind.itemsize)
        result = _constant(at)
        if at.operator == "Constant":  # the file holds it
            return result
        known = [value.array for value in at.inputs if isinstance(value, Constant)]
        if not any(np.may_share_memory(result.array, array) for array in known):
            self._require(result.array.nbytes)
            self.computed += result.array.nbytes
        return result

    def _require(self, size: int) -> None:
        """Raise ``Untraceable`` where constants of so many bytes are too many."""
        if self.computed + size > _MOST_BYTES:
            raise Untraceable(
                f"is one of many constants, of more than {_MOST_BYTES:,} bytes in all"
            )


def _makes_text(at: NodeContext) -> bool:
    """Whether a node makes text, whose bytes the number of values does not tell."""
    attributes = at.node.attributes
    if at.operator == "Cast":
        return bool(attributes.get_int("to", 0) == ir.DataType.STRING)
    if "value" in attributes:
        return bool(attributes["value"].as_tensor().dtype == ir.DataType.STRING)
    return "value_string" in attributes or "value_strings" in attributes


def _constant(at: NodeContext) -> Constant:
    """What a node makes of constants, named after the weight among them."""
    constants = [value for value in at.inputs if isinstance(value, Constant)]
    if at.operator == "Constant" and "value" in at.node.attributes:
        return Constant(at.node.attributes["value"].as_tensor().numpy(), at.label)
    if at.operator in DEQUANTIZE:
        return at.required(0)  # its type tells that it is not float32
    if at.operator in QUANTIZE:
        whole = at.required(0)
        rounded = np.zeros((), quantized_type(at))
        return replace(whole, array=np.broadcast_to(rounded, whole.array.shape))
    small = all(value.array.size <= _LARGEST_OPERAND for value in constants)
    if at.operator == "ConstantOfShape":
        small = bool(np.prod(at.required(0).array, dtype=np.float64) <= _LARGEST_OPERAND)
    elif at.operator in _BROADCAST:
        shape = np.broadcast_shapes(*(value.array.shape for value in constants))
        small = small and math.prod(shape) <= _MOST_VALUES
    elif at.operator == "Concat":
        small = small and sum(value.array.size for value in constants) <= _MOST_VALUES
    if at.operator not in (*MOVES, "Cast") and not (small and at.operator in _ARITHMETIC):
        raise Untraceable("computes with constants in a way that is not followed")
    names = [value.name for value in constants if value.array.dtype.kind == "f"]
    return Constant(at.evaluate(), names[0] if names else at.label)
