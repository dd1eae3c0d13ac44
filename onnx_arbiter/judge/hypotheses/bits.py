"""Operands that were rounded to fewer bits than float32 has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import Arrays, Mistake, outputs_of

Rounding = Callable[[NDArray[Any]], NDArray[Any]]
_TF32_BITS: Final = 11
BFLOAT16_BITS: Final = 8


def to_bits(bits: int, how: Callable[[NDArray[Any]], NDArray[Any]] = np.rint) -> Rounding:
    """Rounds to so many significant bits."""

    def rounded(values: NDArray[Any]) -> NDArray[Any]:
        mantissas, exponents = np.frexp(values.astype(np.float64))
        kept: NDArray[Any] = np.ldexp(how(mantissas * 2**bits) / 2**bits, exponents)
        return kept

    return rounded


def to_float16(values: NDArray[Any]) -> NDArray[Any]:
    """Round to float16, which has fewer bits below 2^-14."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)


def _to_decimals(count: int) -> Rounding:
    return lambda values: np.round(values.astype(np.float64), count)


ROUNDINGS: Final[dict[str, Rounding]] = {
    "11 bits (TF32 or float16)": to_bits(_TF32_BITS),
    "bfloat16": to_bits(BFLOAT16_BITS),
}
OF_WEIGHTS: Final[dict[str, Rounding]] = {
    "float16": to_float16,
    "bfloat16": to_bits(BFLOAT16_BITS),
    **{f"{count} decimals": _to_decimals(count) for count in (7, 6, 5, 4, 3, 8)},
}


def bits(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """A sum of products whose weights, or both operands, have fewer bits."""
    del node, inputs
    found = [("weights", f"rounded to {name}", r, range(1, 3)) for name, r in OF_WEIGHTS.items()]
    found += [("operands", f"rounded to {name}", r, range(2)) for name, r in ROUNDINGS.items()]
    found.append(("operands", "cut to TF32", to_bits(_TF32_BITS, np.trunc), range(2)))
    for noun, what, rounding, which in found:
        every = f"all weights were {what}" if noun == "weights" else ""
        change = _rounded(rounding, which)
        yield Mistake(noun, f"were {what}", change, every=every, is_of_bits=True)


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
