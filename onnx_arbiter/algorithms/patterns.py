"""The patterns that tiles leave in errors, and how well predicted deviations explain errors."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, nan, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The largest ratio of one period that a direct sum's errors do not reach: they are flat within
# 1 % in large layers, within a few in small ones.
_PERIODIC: Final = 1.1
# The axes of a channel's values: images, rows, columns.
_PLACES: Final = (0, 2, 3)
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


def periods(scaled: NDArray[np.float64], sizes: Iterable[int]) -> list[int]:
    """The sizes of a tile whose period the errors show along rows and along columns.

    ``scaled`` is (N, C, H, W), in predicted standard deviations; NaN where a ReLU cut an error off.
    """
    # A channel with larger errors than the others has no more say than they.
    roots = np.sqrt(np.nansum(np.square(scaled), axis=_PLACES, keepdims=True))
    counts = np.count_nonzero(np.isfinite(scaled), axis=_PLACES, keepdims=True)
    scaled = scaled * np.sqrt(counts) / np.where(roots > 0, roots, nan)
    profiles = {size: [profile(scaled, size, axis) for axis in (2, 3)] for size in sizes}
    return [
        size
        for size, both in profiles.items()
        if all(min(each) > 0 and max(each) > _PERIODIC * min(each) for each in both)
    ]


def profile(scaled: NDArray[np.float64], size: int, axis: int) -> list[float]:
    """rms(error / predicted) of every row, or column, modulo a size; 0 where no error shows."""
    lines = np.moveaxis(scaled, axis, 0)
    squares = np.nansum(np.square(lines), axis=(1, 2, 3))
    counts = np.count_nonzero(np.isfinite(lines), axis=(1, 2, 3))
    return [
        float(np.sqrt(squares[start::size].sum() / max(1, counts[start::size].sum())))
        for start in range(min(size, len(lines)))  # a map may be smaller than a tile
    ]


def without_shift(errors: NDArray[np.float64], deviation: NDArray[Any]) -> NDArray[np.float64]:
    """The errors without what shifts a channel as a whole, in all images alike, as a bias does.

    The shift is the likeliest, the mean weighted by 1 / deviation².
    """
    weights = np.zeros_like(errors)
    seen = np.isfinite(errors) & (deviation > 0)
    np.divide(1.0, deviation, out=weights, where=seen)
    weights /= np.maximum(weights.max(axis=_PLACES, keepdims=True), _SMALLEST)
    weights = np.square(weights)
    total = np.where(seen, errors * weights, 0.0).sum(axis=_PLACES, keepdims=True)
    shift: NDArray[np.float64] = total / np.maximum(weights.sum(axis=_PLACES, keepdims=True), 1.0)
    return errors - shift


class Fit(NamedTuple):
    """How well deviations explain errors.

    Attributes:
        ratio: rms(error) over rms(predicted).
        largest: the largest |error| over its predicted deviation.
        costs: of each channel, the negative logarithm of the likelihood of normal errors, whatever
            their size; NaN in a channel without errors.
    """

    ratio: float
    largest: float
    costs: NDArray[np.float64]


def fit(errors: NDArray[np.float64], deviation: NDArray[Any]) -> Fit:
    """Compare errors, (N, C, H, W), NaN where none shows, with their predicted deviations."""
    seen = np.isfinite(errors) & (deviation > 0)
    counts = np.maximum(1, np.count_nonzero(seen, axis=_PLACES))
    found, predicted = np.where(seen, errors, 0.0), np.where(seen, deviation, 1.0)
    scaled = np.abs(found / predicted)
    squares = np.square(scaled).sum(axis=_PLACES) / counts
    logarithms = np.log(predicted).sum(axis=_PLACES) / counts
    costs = np.where(squares > 0, logarithms + np.log(np.where(squares > 0, squares, 1)) / 2, nan)
    expected = float(np.square(predicted[seen]).sum())
    ratio = sqrt(float(np.square(found).sum()) / expected) if expected else inf
    return Fit(ratio, float(scaled.max(initial=0)), costs)
