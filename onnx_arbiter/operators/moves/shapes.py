"""Values that depend on shapes or on exact numbers: no error reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.arguments import data_of, integers, shape_of
from onnx_arbiter.operators.operation import (
    REACH,
    Exact,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    deviation_of,
    squares_of,
)

# Integers up to this are exact in float32, and so are their sums.
_EXACT: Final = 2.0**24


def shape(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Shape, from ``start`` to ``end``."""
    sizes = shape_of(inputs)[node.get("start", 0) : node.get("end")]
    return Exact(inputs, [np.array(sizes, np.int64)])


def size(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """Size: the number of elements."""
    return Exact(inputs, [np.array(np.asarray(inputs[0]).size, np.int64)])


def _typed(inputs: Sequence[Array | None], values: Array) -> Operation:
    """Exact values of a type of their own."""
    return Exact(inputs, [data_of([values])], types=[values.dtype])


def constant_of_shape(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ConstantOfShape: one value, a float32 zero by default."""
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)
    sizes = integers(node, inputs, 0, "") or ()
    return _typed(inputs, np.broadcast_to(value[0], sizes))


def constant(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Constant, in all the forms that it may be given in."""
    forms = {"value_float": np.float32, "value_floats": np.float32} | {
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    if (value := node.get("value")) is not None:
        return _typed(inputs, np.asarray(value))
    for form, dtype in forms.items():
        if (stated := node.get(form)) is not None:
            return _typed(inputs, np.asarray(stated, dtype))
    raise Unsupported("gives a constant that is sparse or a string")


def eye_like(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """EyeLike: ones on a diagonal, of the input's type unless ``dtype`` says otherwise."""
    rows, columns = shape_of(inputs)
    values = np.eye(rows, columns, node.get("k", 0))
    if (number := node.get("dtype")) is None:
        read = np.asarray(inputs[0]).dtype
        return Exact(inputs, [values if read.kind in "fV" else values.astype(read)])
    from onnx.helper import tensor_dtype_to_np_dtype

    return _typed(inputs, values.astype(tensor_dtype_to_np_dtype(number)))


class _Range(Operation):
    """yᵢ = start + i · delta.

    v_out = v_start + i² v_delta. A runtime multiplies, or adds delta i times. Then roundings are
    alike in the n steps in which the sum has one exponent, at most half of M, the larger one of
    the sum's ends; with those of smaller exponents, own = M² (1 + 16/15 n²), n = min(i, M / 2δ).
    There are none of integers.
    """

    def __init__(self, inputs: Sequence[Array | None]) -> None:
        start, limit, delta = (data_of(inputs, index).reshape(-1)[0] for index in range(3))
        count = max(0, int(np.ceil((limit - start) / delta)))
        self._steps = np.arange(count)
        kind = data_of(inputs).dtype
        values = start + self._steps * delta
        self._whole = bool(
            start == np.rint(start)
            and delta == np.rint(delta)
            and max(abs(start), abs(limit)) <= _EXACT
        )
        self._firm = abs((limit - start) / delta - np.rint((limit - start) / delta))
        self._delta = abs(float(delta))
        super().__init__(inputs, [values.astype(kind)])
        self.selects = self._whole  # exact where its inputs are

    def carried(self, variances: Sequence[Variance]) -> Variances:
        start, limit, delta = (
            None if v is None else np.asarray(v, np.float32).reshape(-1)[0] for v in variances
        )
        end: Variance = None
        if delta is not None:
            end = np.square(self._steps.astype(np.float32)) * delta
        begin = None if start is None else np.full(self._steps.shape, start, np.float32)
        moved = add_up(
            *(None if v is None else np.asarray(v, np.float32) for v in (start, limit)),
            None if delta is None else delta * np.float32(len(self._steps) ** 2),
        )
        if moved is not None and moved > 0:
            # Errors may change how many there are.
            self.decides[0] |= self._firm * self._delta <= REACH * float(deviation_of(moved))
        return (add_up(begin, end),)

    def own(self, mode: Mode) -> Variances:
        if self._whole or self.outputs[0].dtype.kind != "f":
            return (None,)
        values = np.abs(self.outputs[0])
        largest = np.maximum(values, values[:1])
        alike = np.minimum(self._steps, largest / (2 * self._delta))
        own = squares_of(largest) * (1 + 16 / 15 * np.square(alike)).astype(np.float32)
        return (float32_units(mode.sums) * own,)


def range_(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """Range from a start to before a limit."""
    return _Range(inputs)


class _NonZero(Exact):
    """Where elements are not zero; undecided if an error may make one zero, or not zero."""

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if (variance := variances[0]) is not None:
            reach = REACH * deviation_of(variance)
            near = (np.abs(data_of(self.inputs)) <= reach) & (reach > 0)
            self.decides[0] |= bool(near.any())
        return (None,)


def non_zero(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """NonZero: the places of elements that are not zero, (rank, number)."""
    return _NonZero(inputs, [np.array(np.nonzero(data_of(inputs)), np.int64)])


RULES: Final[dict[str, Rule]] = {
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Constant": constant,
    "EyeLike": eye_like,
    "Range": range_,
    "NonZero": non_zero,
}
