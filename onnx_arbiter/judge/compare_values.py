"""Compare a value that a program computed with the arbiter's, of any shape and type."""

from __future__ import annotations

import numpy as np

from onnx_arbiter.compare import Verdict, compare_with_arbiter, refused
from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array
from onnx_arbiter.limits import Limits
from onnx_arbiter.numeric_modes import SMALLEST_NORMAL, is_float
from onnx_arbiter.values import Value


def compare(
    observed: Array,
    value: Value,
    deviation: Float64,
    independent: float,
    limits: Limits,
) -> Verdict:
    """Compare a tensor with the arbiter's; one that is no float type must be equal.

    ``independent`` is the number of independent errors in what it was computed from. Infinite and
    undefined (NaN) values of the arbiter must be the same in the runtime.
    """
    exact = value.values
    if observed.shape != exact.shape:
        return refused(f"its shape is {observed.shape}, the arbiter's is {exact.shape}")
    if not exact.size:
        return Verdict(True, 0.0, 0.0, 0.0, 0.0, 0.0)
    if exact.dtype.kind != "f":
        return _compare_exactly(observed, exact)
    got = observed.astype(np.float64)
    finite = np.isfinite(exact)
    if not finite.all():
        same = (got == exact) | (np.isnan(got) & np.isnan(exact))
        if wrong := int(np.count_nonzero(~same & ~finite)):
            return refused(f"{wrong} values that are infinite or NaN in the arbiter differ")
        got, exact, deviation = (np.where(finite, v, 0.0) for v in (got, exact, deviation))
    if not is_float(value.dtype) and float(deviation.max()) <= SMALLEST_NORMAL:  # quantised
        return _compare_exactly(got, exact)
    # The whole tensor counts as one image.
    return compare_with_arbiter(
        got.reshape(1, -1),
        exact.reshape(1, -1),
        deviation.reshape(1, -1),
        limits=limits,
        independent=lambda _: independent,
    )


def _compare_exactly(observed: Array, exact: Array) -> Verdict:
    wrong = int(np.count_nonzero(observed != exact))
    if wrong and exact.dtype.kind in "iu" and observed.dtype.kind in "iu":
        # Some runtimes have integers of 32 bits only, and the ends of slices are beyond them.
        wrong = int(np.count_nonzero(_within_32_bits(observed) != _within_32_bits(exact)))
    if not wrong:
        return Verdict(True, 0.0, 0.0, 0.0, 0.0, 0.0)
    return refused(f"{wrong} of {exact.size} values differ, which no rounding explains")


def _within_32_bits(values: Array) -> Array:
    limits = np.iinfo(np.int32)
    clipped: Array = np.clip(values, limits.min, limits.max)
    return clipped
