"""The error function of whole arrays, which NumPy lacks."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float64

# Beyond, erf is 1 in float64.
_END: Final = 6.0
_PER_UNIT: Final = 128
_DEGREE: Final = 6


@cache
def _taylor() -> tuple[Float64, ...]:
    """The Taylor coefficients at 0, 1/128, …, 6, from the constant on.

    Derivative n + 1 at p is 2/√π (-1)ⁿ Hₙ(p) e^{-p²}, with H_{n+1} = 2p Hₙ - 2n H_{n-1}. The first
    term that is left out is below 1e-18.
    """
    points = np.arange(int(_END * _PER_UNIT) + 1) / _PER_UNIT
    coefficients = [np.array([math.erf(point) for point in points.tolist()])]
    factor = 2 / math.sqrt(math.pi) * np.exp(-np.square(points))
    before, polynomial = np.zeros_like(points), np.ones_like(points)
    for order in range(_DEGREE):
        coefficients.append((-1) ** order * polynomial * factor / math.factorial(order + 1))
        before, polynomial = polynomial, 2 * points * polynomial - 2 * order * before
    return tuple(coefficients)


def erf(values: NDArray[Any]) -> Float64:
    """The error function, to 5e-16 of itself."""
    size = np.minimum(np.abs(values), _END)
    with np.errstate(invalid="ignore"):  # NaN stays NaN by its distance to a point
        points = np.rint(size * _PER_UNIT).astype(np.intp)
    points = np.clip(points, 0, int(_END * _PER_UNIT))
    distance = size - points / _PER_UNIT
    *lower, highest = _taylor()
    result = np.array(highest[points])
    for coefficient in reversed(lower):
        result *= distance
        result += coefficient[points]
    return np.asarray(np.copysign(result, values))


def density(values: NDArray[Any]) -> Float64:
    """The normal distribution's density, e^{-x²/2} / √2π."""
    result: Float64 = np.exp(-np.square(values) / 2) / math.sqrt(2 * math.pi)
    return result
