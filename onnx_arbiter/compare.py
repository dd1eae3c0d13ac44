"""How far a runtime's values are from the arbiter's, and whether that is too far.

Arrays in, verdicts out: nothing here knows where the arrays come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.limits import LIMITS, Limits

# Errors in predicted standard deviations, counted between powers of two: below 2^-8, then one bin
# for each power up to 2^16, and what is above.
HISTOGRAM_EXPONENTS: Final = tuple(range(-8, 17))


@dataclass(frozen=True)
class Verdict:
    """One tap of one runtime, beside the arbiter's.

    Attributes:
        passed: whether both figures are within their limits and everything is finite that should
            be.
        ratio: rms(error) over rms(predicted standard deviation), of the worst image: the smallest R
            that would have passed. Infinite where it has no value.
        deviations: the largest error in predicted standard deviations of its own element: the
            smallest Z that would have passed. Infinite where it has no value.
        max_error: the largest |error|.
        rms_error: the root mean square error of all elements.
        rms_predicted: the root mean square of the predicted standard deviations.
        worst: where ``deviations`` was found: (image, channel, row, column) or (image, unit).
        histogram: how many errors fall in each bin of ``HISTOGRAM_EXPONENTS``, those of zero aside.
        reason: why it did not pass; empty where it did.
    """

    passed: bool
    ratio: float
    deviations: float
    max_error: float
    rms_error: float
    rms_predicted: float
    worst: tuple[int, ...] = ()
    histogram: tuple[int, ...] = ()
    reason: str = ""


def compare_with_arbiter(
    observed: NDArray[Any],
    before: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    *,
    relu: bool = False,
    limits: Limits = LIMITS,
) -> Verdict:
    """Compare a runtime's values of one tap with the arbiter's.

    Args:
        observed: the runtime's, (N, C, H, W) or (N, features).
        before: the arbiter's, before the ReLU.
        deviation: the predicted standard deviation of the runtime's error at each element.
        relu: whether the tap's values are those of ``before`` above zero.
        limits: R and Z.

    Nothing to compare, another shape, and a runtime's value that is not finite where the arbiter's
    is (or the other way round) never pass.
    """
    if observed.shape != before.shape:
        return refused(f"its shape is {observed.shape}, the arbiter's is {before.shape}")
    if before.ndim < 2 or not before.size:
        return refused(f"nothing to compare in an array of shape {before.shape}")
    if observed.dtype.kind not in "fiu":
        return refused(f"its values are {observed.dtype}, not real numbers")
    values = np.maximum(before, 0) if relu else before
    finite = np.isfinite(observed)
    for whose, those in (("", finite), ("the arbiter's ", np.isfinite(values))):
        if bad := int(np.count_nonzero(~those)):
            return refused(f"{bad} of {whose}{values.size} values are not finite")
    if not np.isfinite(deviation).all():
        return refused("the predicted error is not finite: the values are too large to judge")
    errors = np.abs(observed.astype(np.float64) - values)
    predicted = deviation.astype(np.float64)
    below, own = np.zeros_like(errors), predicted
    if relu:
        # Where the arbiter's value is cut to zero, a runtime's that is not was off by more.
        below = np.where((before < 0) & (errors > 0), -before, 0.0)
        own = np.where(before > -predicted, predicted, 0.0)
    return _measured(errors, below, own, predicted, limits)


def compare_runs(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    before: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    *,
    relu: bool = False,
    limits: Limits = LIMITS,
) -> Verdict:
    """Compare two runs' values of one tap with each other.

    Args:
        ours: one run's values, of the arbiter's shape.
        theirs: the other run's, of the same shape.
        before: the arbiter's, before the ReLU.
        deviation: the predicted standard deviation of the difference at each element: the root of
            the sum of both runs' variances, whose errors are taken for independent.
        relu: whether the tap's values are those above zero.
        limits: R and Z.

    Another shape, and what is not finite in either, never pass.
    """
    both = (ours, theirs)
    if any(values.shape != before.shape or values.dtype.kind not in "fiu" for values in both):
        reason = f"of shapes {ours.shape} and {theirs.shape}, the arbiter's is {before.shape}"
        return refused(reason)
    if not (before.size and all(np.isfinite(values).all() for values in (*both, deviation))):
        return refused("not everything to compare is finite")
    one, other = (values.astype(np.float64) for values in both)
    errors, predicted = np.abs(one - other), deviation.astype(np.float64)
    below, own = np.zeros_like(errors), predicted
    if relu:
        # Where one is cut to zero and the other is not, they are further apart than is seen.
        cut = (np.minimum(one, other) <= 0) & (before < 0) & (errors > 0)
        below = np.where(cut, -before, 0.0)
        own = np.where(before > -predicted, predicted, 0.0)
    return _measured(errors, below, own, predicted, limits)


def refused(reason: str) -> Verdict:
    """A verdict on what has no figures."""
    return Verdict(False, math.inf, math.inf, math.inf, math.inf, math.inf, reason=reason)


def _measured(
    errors: NDArray[np.float64],
    below: NDArray[np.float64],
    own: NDArray[np.float64],
    predicted: NDArray[np.float64],
    limits: Limits,
) -> Verdict:
    """The verdict on errors: ``below`` is what a ReLU hid, ``own`` what counts as predicted."""
    scaled = np.where(errors > 0, (errors + below) / predicted, 0.0)
    axes = tuple(range(1, errors.ndim))
    squares, expected = np.square(errors).mean(axis=axes), np.square(own).mean(axis=axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sqrt(np.where(squares > 0, squares / expected, 0.0))
    worst = np.unravel_index(int(scaled.argmax()), scaled.shape)
    ratio, deviations = float(ratios.max()), float(scaled[worst])
    reason = beyond(ratio, deviations, limits)
    return Verdict(
        passed=not reason,
        ratio=ratio,
        deviations=deviations,
        max_error=float(errors.max()),
        rms_error=float(np.sqrt(squares.mean())),
        rms_predicted=float(np.sqrt(expected.mean())),
        worst=tuple(int(index) for index in worst),
        histogram=_histogram(scaled),
        reason=reason,
    )


def beyond(ratio: float, deviations: float, limits: Limits) -> str:
    """Which figures are over their limits, in words; empty where neither is."""
    reasons = []
    # Not the other way round: NaN is within nothing.
    if not ratio <= limits.ratio.limit:
        reasons.append(
            f"errors are {ratio:.3g} times the predicted size (limit {limits.ratio.limit:g})"
        )
    if not deviations <= limits.deviations.limit:
        reasons.append(
            f"one is {deviations:.3g} predicted standard deviations "
            f"(limit {limits.deviations.limit:g})"
        )
    return ", ".join(reasons)


def _histogram(scaled: NDArray[np.float64]) -> tuple[int, ...]:
    # x is m * 2^e with m in [1/2, 1), so that e counts the powers of two.
    _, powers = np.frexp(scaled[scaled > 0])
    bins = np.clip(powers - HISTOGRAM_EXPONENTS[0], 0, len(HISTOGRAM_EXPONENTS))
    counts = np.bincount(bins, minlength=len(HISTOGRAM_EXPONENTS) + 1)
    return tuple(int(count) for count in counts)
