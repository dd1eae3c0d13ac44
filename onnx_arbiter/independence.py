"""How many of an array's errors are independent, and how far R may then lie from 1.

Values that are equal were computed from equal terms, and round alike: their errors are one error.
An array with groups of equal values has the spread of

    N = (Σ σ²)² / Σ_groups (Σ_group σ²)²

independent errors: one over the probability that two errors, drawn by their variance, are the same.
If the errors are at most normal, of the predicted size, N R² is at most a chi-squared variable of N
degrees of freedom, and R exceeds sqrt(χ²_N(1 - p) / N) with probability p.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Errors drawn to count pairs of the same. For N = 61, above which R's limit no longer depends on
# it, N is found to 1 %; beyond, it matters little.
_DRAWN: Final = 8192


def independent_errors(values: NDArray[Any], variance: NDArray[np.floating[Any]]) -> float:
    """N of one image: at least 1; infinite if no two of the errors drawn are the same.

    Args:
        values: the arbiter's, of any shape. Those equal in float32 are taken to round alike.
        variance: that of each value's error, in any unit, as far as it shows; of the same shape.
    """
    sums = np.cumsum(variance, dtype=np.float64)
    if not sums[-1] > 0:
        return math.inf
    drawn = np.searchsorted(sums, _places() * sums[-1], side="right")
    chosen = np.asarray(values).reshape(-1)[np.minimum(drawn, sums.size - 1)]
    _, counts = np.unique(chosen.astype(np.float32), return_counts=True)
    same = int((counts * (counts - 1)).sum())
    return max(1.0, _DRAWN * (_DRAWN - 1) / same) if same else math.inf


@cache
def _places() -> NDArray[np.float64]:
    """Where errors are drawn, in 0 to 1: the same every time; sorted ones are found faster."""
    return np.sort(np.random.Generator(np.random.PCG64(0)).random(_DRAWN))


def largest_ratio(independent: float, chance: float) -> float:
    """sqrt(χ²_N(1 - chance) / N), the R that normal errors exceed with a probability of ``chance``.

    By Wilson and Hilferty's approximation, at most 9 % too large for N >= 1 and chance >= 1e-7; too
    large because a limit may rather be exceeded less often than stated.
    """
    spread = 2 / (9 * independent)
    return float((1 - spread + NormalDist().inv_cdf(1 - chance) * math.sqrt(spread)) ** 1.5)
