"""The numeric modes that a runtime can compute in, by what each of them rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

FLOAT32_ROUNDOFF: Final = 2.0**-24
SMALLEST_NORMAL: Final = 2.0**-126
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Mode:
    """What a numeric mode rounds, as unit roundoffs (half the gap between 1 and the next number).

    Attributes:
        name: what records and reports call it.
        sums: of products and of sums.
        operands: of what enters a product, where that is rounded on the way in; 0 where it is not.
        cut: the part of itself that an operand may lose on the average, where hardware may cut its
            last bits off instead of rounding them to the nearest; 0 where it may not.
        stored: of weights and of every layer's output, where they are kept in fewer bits than
            float32; 0 where they are not.
        smallest: below this magnitude numbers lose bits, or are taken for zero.
        largest: the largest number that can be stored.
    """

    name: str
    sums: float = FLOAT32_ROUNDOFF
    operands: float = 0.0
    cut: float = 0.0
    stored: float = 0.0
    smallest: float = SMALLEST_NORMAL
    largest: float = _LARGEST


def _mean_cut(roundoff: float) -> float:
    """What cutting off takes of a number on the average, as a part of it.

    Half a gap, which is ``roundoff`` times the power of two below the number; and where mantissas m
    are spread evenly on a logarithmic scale, the mean of 1 / m from 1 to 2 is 1 / (2 ln 2).
    """
    return roundoff / (2 * math.log(2))


MODES: Final = MappingProxyType(
    {
        mode.name: mode
        for mode in (
            Mode("float32"),
            # 10 bits of the mantissa of each operand reach the multiplier; sums are float32. Some
            # kernels round to them; Hopper's wgmma instruction, by PTX's manual, drops the others.
            Mode("tf32", operands=2.0**-11, cut=_mean_cut(2.0**-11)),
            # 8 and 11 bits with the leading one; sums are float32 in both.
            Mode("bfloat16", stored=2.0**-8),
            Mode("float16", stored=2.0**-11, smallest=2.0**-24, largest=65504.0),
        )
    }
)
