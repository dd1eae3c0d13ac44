"""The activation of a tap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def activate(preactivation: NDArray[np.float64], relu: bool) -> NDArray[np.float64]:
    """Apply the ReLU of a tap, if it has one; NaN stays NaN."""
    return np.maximum(preactivation, 0) if relu else preactivation
