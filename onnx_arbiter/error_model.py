"""Values with the variance of the rounding errors to expect of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import Mode

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class ValueWithVariance:
    """Numbers, and the variance of a runtime's error at each; both float64, of one shape."""

    values: Float64
    variance: Float64

    def moved(self, move: Callable[[Float64], Float64]) -> ValueWithVariance:
        """Both after a move of elements."""
        return ValueWithVariance(move(self.values), move(self.variance))

    def deviation(self, mode: Mode) -> Float64:
        """The predicted standard deviation, at least the smallest number of the mode."""
        deviation: Float64 = np.hypot(np.sqrt(self.variance), mode.smallest)
        return deviation
