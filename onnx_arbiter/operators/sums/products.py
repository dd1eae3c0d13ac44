"""Sums of products: Gemm, MatMul, Einsum, and what convolutions share with them.

For a sum y of K products, S the sum of their squares:

    own = S (1 + K/6) + y² K/3     (error_model.py derives it)

and an error of either operand arrives multiplied by the other: v_out = B² v_A + A² v_B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, path_rounding
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import SMALLEST_NORMAL, Mode, float32_units
from onnx_arbiter.operators.operation import (
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    as_float,
    squares_of,
)

# Multiplies a by b in the way of the node, in the type of a; b may be squared on the way, which
# saves a copy of a large constant.
Product: TypeAlias = "Callable[[NDArray[Any], Array, bool], NDArray[Any]]"
# Values of a large constant that are converted at a time.
_LARGE: Final = 1 << 22


class SumOfProducts(Operation):
    """y = scale · product(a, b) + addend.

    Args:
        inputs: what the node read; a and b are ``inputs[0]`` and ``inputs[1]``, the addend
            ``inputs[2]`` if there is one.
        product: bilinear in a and b.
        length: K.
        addend: shaped to broadcast to the products, with its scale in it.
        scale: of the products.
        spread: shapes what is shaped like ``inputs[2]`` to broadcast to the products.
        addend_scale: what the addend is multiplied by.
    """

    def __init__(
        self,
        inputs: Sequence[Array | None],
        product: Product,
        length: int,
        *,
        scale: float = 1.0,
        spread: Callable[[NDArray[Any]], NDArray[Any]] = lambda values: values,
        addend_scale: float = 1.0,
    ) -> None:
        self._product, self.length = product, length
        self._scale, self._addend_scale, self._spread = scale, addend_scale, spread
        left, right, *rest = inputs
        assert left is not None
        assert right is not None
        total = scale * product(as_float(left), right, False)
        self._has_addend = bool(rest) and rest[0] is not None
        if self._has_addend:
            total = total + addend_scale * spread(as_float(np.asarray(rest[0])))
        super().__init__(inputs, [total])
        self.stores = 2 if self._has_addend else 1  # before and after the addend

    @cached_property
    def squares(self) -> Float32:
        """S, the sums of the squared products."""
        return self._squared(squares_of(np.asarray(self.inputs[0])))

    def _squared(self, left: Float32) -> Float32:
        """A variance of a, times the squares of b."""
        product = self._product(left, np.asarray(self.inputs[1]), True)
        return np.float32(self._scale**2) * product

    def carried(self, variances: Sequence[Variance]) -> Variances:
        # A sum of one operand's elements has only one.
        of_left, of_right, of_addend = (*variances, None, None)[:3]
        parts: list[Variance] = []
        if of_left is not None:
            parts.append(self._squared(of_left))
        if of_right is not None:
            squares = squares_of(np.asarray(self.inputs[0]))
            product = self._product(squares, of_right, False)
            parts.append(np.float32(self._scale**2) * product)
        if of_addend is not None:
            addend = np.float32(self._addend_scale**2) * self._spread(of_addend)
            parts.append(np.broadcast_to(addend, self.outputs[0].shape))
        return (add_up(*parts),)

    def rounded(self, scales: Sequence[float]) -> Variances:
        # The squares are those that `own` needs.
        total: Variance = None
        if factor := sum(
            scale
            for scale, values in zip(scales[:2], self.inputs[:2], strict=False)
            if values is not None and values.dtype.kind == "f"
        ):
            total = np.float32(factor) * self.squares
        if self._has_addend and scales[2]:
            addend = np.float32(scales[2]) * squares_of(np.asarray(self.inputs[2]))
            total = add_up(total, *self.carried([None, None, addend]))
        return (total,)

    def own(self, mode: Mode) -> Variances:
        products, sums = path_rounding(self.length)
        ends = squares_of(self.outputs[0])
        unit = float32_units(mode.sums)
        # Both operands of a product are rounded, and the sum once more by an addend.
        of_squares = unit * (1 + products) + 2 * float32_units(mode.operands)
        own = self.squares * np.float32(of_squares)
        ends *= np.float32(unit * (sums + self._has_addend))
        own += ends
        # In float32, squares below this are lost: the error may be as large for weights this small.
        own += np.float32(self.length * SMALLEST_NORMAL)
        return (own,)


def prepared(values: Array, like: NDArray[Any], squared: bool) -> NDArray[Any]:
    """The second operand in the type of the first, squared or not."""
    converted = values.astype(like.dtype, copy=False)
    return np.square(converted) if squared else converted


def gemm(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Gemm: alpha · A B + beta · C, either operand transposed or not."""
    left_turned, right_turned = node.get("transA", 0), node.get("transB", 0)

    def product(left: NDArray[Any], right: Array, squared: bool) -> NDArray[Any]:
        return _matmul(left.T if left_turned else left, right.T if right_turned else right, squared)

    left = np.asarray(inputs[0])
    return SumOfProducts(
        inputs,
        product,
        left.shape[0 if left_turned else 1],
        scale=node.get("alpha", 1.0),
        addend_scale=node.get("beta", 1.0),
    )


def matmul(_: Node, inputs: Sequence[Array | None]) -> Operation:
    """MatMul, of a computed operand and a constant or of two computed ones, in NumPy's way."""
    return SumOfProducts(inputs, _matmul, np.asarray(inputs[0]).shape[-1])


def _matmul(left: NDArray[Any], right: Array, squared: bool) -> NDArray[Any]:
    if right.ndim == 2 and left.ndim > 2:  # one product instead of many small ones
        rows = _matmul(left.reshape(-1, left.shape[-1]), right, squared)
        return rows.reshape(*left.shape[:-1], right.shape[-1])
    if right.ndim != 2 or right.size <= _LARGE:
        whole: NDArray[Any] = np.matmul(left, prepared(right, left, squared))
        return whole
    columns = max(1, _LARGE // right.shape[0])
    blocks = [
        np.matmul(left, prepared(right[:, start : start + columns], left, squared))
        for start in range(0, right.shape[1], columns)
    ]
    return np.concatenate(blocks, axis=-1)


def einsum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Einsum of one or two operands whose terms repeat no letter."""
    equation = str(node.get("equation")).replace(" ", "")
    terms, _, result = equation.partition("->")
    letters = terms.split(",")
    if len(letters) > 2 or "->" not in equation:
        raise Unsupported(f"Einsum {equation!r}")
    if any(len(set(term) - {"."}) != len(term.replace(".", "")) for term in letters):
        raise Unsupported(f"Einsum {equation!r} takes a diagonal")
    arrays = [np.asarray(values) for values in inputs]
    sizes = {
        letter: size
        for term, values in zip(letters, arrays, strict=True)
        if "..." not in term
        for letter, size in zip(term, values.shape, strict=True)
    }
    for term, values in zip(letters, arrays, strict=True):
        before, dots, after = term.partition("...")
        if dots:
            sizes |= dict(zip(before, values.shape, strict=False))
            sizes |= dict(zip(reversed(after), reversed(values.shape), strict=False))
    length = prod(size for letter, size in sizes.items() if letter not in result)
    if len(arrays) == 1:  # a sum of elements: products with 1
        arrays, equation = [arrays[0], np.ones((), np.float32)], f"{terms},->{result}"

    def product(left: NDArray[Any], right: Array, squared: bool) -> NDArray[Any]:
        operands = left, prepared(right, left, squared)
        return np.asarray(np.einsum(equation, *operands, optimize=True))

    return SumOfProducts(arrays, product, length)


RULES: Final[dict[str, Rule]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Einsum": einsum,
}
