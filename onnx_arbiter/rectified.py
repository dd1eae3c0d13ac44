"""What a ReLU lets show of normal errors, and how much of them together.

An error e of the predicted deviation σ shows where the arbiter's value is positive, or where it
exceeds the value's depth d below zero. With Q the upper tail of a normal distribution and φ its
density, it shows in the mean square

    σ² (d/σ φ(d/σ) + Q(d/σ))

Let T be the sum of the squares of the errors that show. For any λ below 1 / 2σ² (Chernoff),

    P(T > t) <= exp(-λ t) Π E,     E = 1 - Q(d/σ) + Q(q d/σ) / q,     q² = 1 - 2 λ σ²

and E = 1 / q where the value is positive. Of errors that are the same, M at a time, one in M is a
factor of the product, with M σ² for σ².
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from onnx_arbiter.error_model import Float64

# Depths in deviations, and Q there. Beyond, nothing shows.
_FURTHEST: Final = 40.0
_DEPTHS: Final = np.linspace(0, _FURTHEST, 4001)
_TAIL: Final = np.array([math.erfc(depth / math.sqrt(2)) / 2 for depth in _DEPTHS.tolist()])
_SHOWN: Final = _DEPTHS * np.exp(-np.square(_DEPTHS) / 2) / math.sqrt(2 * math.pi) + _TAIL
# λ in units of the largest that is possible.
_SLOPES: Final = np.linspace(0.15, 0.95, 9)


def share_shown(preactivation: Float64, deviation: Float64, errors: Float64) -> Float64:
    """The share of each predicted variance that shows: all of it where an error did."""
    visible = (preactivation > 0) | (errors > 0)
    share = visible.astype(np.float64)
    near = ~visible & (preactivation > -_FURTHEST * deviation)
    share[near] = np.interp(-preactivation[near] / deviation[near], _DEPTHS, _SHOWN)
    return share


def largest_sum(
    preactivation: Float64, deviation: Float64, independent: float, chance: float
) -> float:
    """t, which the squares of the errors that show exceed with a probability of at most ``chance``.

    Args:
        preactivation: the arbiter's values, of those elements whose errors may show.
        deviation: that of each error.
        independent: the number of independent errors; M follows from it.
        chance: the probability.
    """
    variance = np.square(deviation)
    depth = np.maximum(-preactivation, 0) / deviation
    below, hidden = depth > 0, 1 - np.interp(depth, _DEPTHS, _TAIL)
    most = float(variance.max())
    alike = max(1.0, float(variance.sum() ** 2 / np.square(variance).sum()) / independent)
    sums = []
    for slope in _SLOPES.tolist():
        root = np.sqrt(1 - slope * variance / most)
        tail = np.where(below, np.interp(depth * root, _DEPTHS, _TAIL), 1.0)
        factors = np.log(np.where(below, hidden, 0.0) + tail / root)
        sums.append(2 * alike * most / slope * (factors.sum() / alike - math.log(chance)))
    return float(min(sums))
