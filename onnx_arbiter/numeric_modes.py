"""The numeric modes that a runtime can compute in, described by what each one rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

FLOAT32_ROUNDOFF: Final = 2.0**-24
SMALLEST_NORMAL: Final = 2.0**-126
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Mode:
    """What a numeric mode rounds, in unit roundoffs (half the gap between 1 and the next number).

    Attributes:
        name: the mode's name in records and reports.
        sums: roundoff of products and sums.
        operands: roundoff of the operands of a product; 0 if they are not rounded.
        truncation_bias: mean relative loss of an operand if hardware truncates it instead of
            rounding to nearest; 0 if it never truncates.
        stored: roundoff of weights and of each layer's output if they are stored in fewer bits than
            float32; 0 otherwise.
        smallest: the error to allow of any value: the smallest normal number, below which values
            may be flushed to zero, or float16's smallest subnormal one, which it keeps.
        largest: largest finite number.
        algorithm: the name of the algorithm, of ``algorithms.winograd.WINOGRAD`` or
            ``algorithms.fft.FFTS``, that computes convolutions of 3×3 kernels with a stride of 1;
            empty for a direct sum.
        algorithms: the same of single convolutions, by the names of the values that they compute.
    """

    name: str
    sums: float = FLOAT32_ROUNDOFF
    operands: float = 0.0
    truncation_bias: float = 0.0
    stored: float = 0.0
    smallest: float = SMALLEST_NORMAL
    largest: float = _LARGEST
    algorithm: str = ""
    algorithms: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def unit_variance(self) -> float:
        """Variance of the rounding error of a sum whose value is 1: u²/3."""
        return self.sums**2 / 3


def float32_units(roundoff: float) -> np.float32:
    """The variance of a rounding error of 1, in units of float32's u²/3."""
    return np.float32((roundoff / FLOAT32_ROUNDOFF) ** 2)


_TF32: Final = 2.0**-11
MODES: Final = MappingProxyType(
    {
        mode.name: mode
        for mode in (
            Mode("float32"),
            # The multiplier reads 10 mantissa bits of each operand, rounded; sums are float32.
            Mode("tf32", operands=_TF32),
            # 8 and 11 significant bits; both accumulate in float32.
            Mode("bfloat16", stored=2.0**-8),
            Mode("float16", stored=2.0**-11, smallest=2.0**-24, largest=65504.0),
        )
    }
)
# Kernels that do not round the operands first leave it to the hardware, which drops the other bits:
# Hopper's wgmma instruction does (PTX manual). That loses half a gap on average, the roundoff times
# the power of two below the number. For mantissas m that are uniform on a logarithmic scale, the
# mean of 1 / m over [1, 2) is 1 / (2 ln 2).
TRUNCATED_TF32: Final = Mode(
    "tf32, truncated", operands=_TF32, truncation_bias=_TF32 / (2 * math.log(2))
)

# Half the gap between 1 and the next number of a type; types with fewer bits than float32 round
# what is stored in them.
ROUNDOFFS: Final = MappingProxyType({"float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8})
# Below this, a type's errors are as large as its values.
SMALLEST: Final = MappingProxyType({"float16": 2.0**-24})


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a type is a float type, bfloat16 included, which NumPy does not know as one."""
    return dtype.kind == "f" or dtype.name in ROUNDOFFS
