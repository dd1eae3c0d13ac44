"""Operands that were rounded to fewer bits than float32 has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.hypotheses.mistake import Arrays, Mistake, outputs_of

Rounding = Callable[[NDArray[Any]], NDArray[Any]]
_TF32_BITS: Final = 11
_BFLOAT16_BITS: Final = 8


def to_bits(bits: int, how: Callable[[NDArray[Any]], NDArray[Any]] = np.rint) -> Rounding:
    """Rounds to so many significant bits."""

    def rounded(values: NDArray[Any]) -> NDArray[Any]:
        mantissas, exponents = np.frexp(values.astype(np.float64))
        kept: NDArray[Any] = np.ldexp(how(mantissas * 2**bits) / 2**bits, exponents)
        return kept

    return rounded


def _to_float16(values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)


def _to_decimals(count: int) -> Rounding:
    return lambda values: np.round(values.astype(np.float64), count)


ROUNDINGS: Final[dict[str, Rounding]] = {
    "11 bits (TF32 or float16)": to_bits(_TF32_BITS),
    "bfloat16": to_bits(_BFLOAT16_BITS),
}
OF_WEIGHTS: Final[dict[str, Rounding]] = {
    "float16": _to_float16,
    "bfloat16": to_bits(_BFLOAT16_BITS),
    **{f"{count} decimals": _to_decimals(count) for count in (7, 6, 5, 4, 3, 8)},
}


def bits(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """A sum of products whose weights, or both operands, have fewer bits."""
    del node
    kind = "weights"
    for name, rounding in OF_WEIGHTS.items():
        yield Mistake(kind, f"were rounded to {name}", _rounded(rounding, range(1, len(inputs))),
                      every=f"all weights were rounded to {name}")  # fmt: skip
    for name, rounding in ROUNDINGS.items():
        yield Mistake("operands", f"were rounded to {name}", _rounded(rounding, (0, 1)))
    cut = to_bits(_TF32_BITS, np.trunc)
    yield Mistake("operands", "were cut to TF32", _rounded(cut, (0, 1)))


def _rounded(rounding: Rounding, which: Sequence[int]) -> Callable[[Node, Arrays], Sequence[Array]]:
    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        return outputs_of(
            node,
            [
                rounding(values) if index in which and values is not None else values
                for index, values in enumerate(inputs)
            ],
        )

    return change
