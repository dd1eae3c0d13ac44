"""Measures of size and change, and numbers that every order of summation adds up alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rms(values: NDArray[Any]) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64)))))


def change(right: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """The rms of the change over that of the right values, in per cent."""
    return 100 * float(np.sqrt(np.mean(np.square(other - right)) / np.mean(np.square(right))))


def whole_numbers(count: int, step: int) -> NDArray[np.float32]:
    """Small whole numbers, whose sums of products float32 holds exactly."""
    return (np.arange(count, dtype=np.float32) * step) % 17 - 8
