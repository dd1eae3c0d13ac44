"""Compare a runtime's values with the arbiter's, or with another run's: arrays in, verdict out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import activate
from onnx_arbiter.limits import LIMITS, Limits

# Histogram of errors in predicted standard deviations: one bin below 2^-8, one for each power of
# two up to 2^16, one above.
HISTOGRAM_EXPONENTS: Final = tuple(range(-8, 17))


@dataclass(frozen=True)
class Verdict:
    """The result of one comparison.

    Attributes:
        passed: whether both figures are within their limits and every value is finite.
        ratio: R, rms(error) / rms(predicted standard deviation) of the worst image: the smallest
            limit that would have passed. Infinite if undefined.
        deviations: Z, the largest error in predicted standard deviations of its own element: the
            smallest limit that would have passed. Infinite if undefined.
        max_error: the largest |error|.
        rms_error: root mean square error over all elements.
        rms_predicted: root mean square of the predicted standard deviations.
        worst: index of the element with ``deviations``: (image, channel, row, column) or
            (image, unit).
        histogram: number of nonzero errors in each bin of ``HISTOGRAM_EXPONENTS``.
        reason: why it did not pass; empty if it did.
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


def refused(reason: str) -> Verdict:
    """The verdict on values that cannot be compared."""
    return Verdict(False, math.inf, math.inf, math.inf, math.inf, math.inf, reason=reason)


MISSING: Final = refused("there is no such output")


def compare_with_arbiter(
    observed: NDArray[Any] | None,
    preactivation: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    *,
    relu: bool = False,
    limits: Limits = LIMITS,
) -> Verdict:
    """Compare a runtime's values of one tap with the arbiter's.

    Args:
        observed: the runtime's values, (N, C, H, W) or (N, features); None if it has none.
        preactivation: the arbiter's values before the ReLU.
        deviation: predicted standard deviation of the runtime's error at each element.
        relu: whether a ReLU follows ``preactivation``.
        limits: R and Z.

    Returns:
        The verdict. Empty arrays, another shape and values that are not finite never pass.
    """
    if observed is None:
        return MISSING
    arbiter = activate(preactivation, relu)
    return compare_runs(
        observed, arbiter, preactivation, deviation, relu=relu, limits=limits, whose="the arbiter's"
    )


def compare_runs(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    preactivation: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    *,
    relu: bool = False,
    limits: Limits = LIMITS,
    whose: str = "the other run's",
) -> Verdict:
    """Compare two runs' values of one tap with each other, as `compare_with_arbiter` does.

    ``deviation`` is that of their difference: the root of the sum of both runs' variances, whose
    errors are assumed independent. ``whose`` says in messages whose values ``theirs`` are.
    """
    shape = preactivation.shape
    if reason := refusal(ours, shape) or refusal(theirs, shape, whose):
        return refused(reason)
    if not np.isfinite(deviation).all():
        return refused("the predicted error is not finite: the values are too large to judge")
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    errors, predicted = np.abs(one - other), deviation.astype(np.float64)
    hidden, visible = np.zeros_like(errors), predicted
    if relu:
        # Where one value is positive and a ReLU hides the other, the difference is larger than it
        # appears, by at least the arbiter's distance from zero.
        lifted = (preactivation < 0) & (np.minimum(one, other) <= 0) & (errors > 0)
        hidden = np.where(lifted, -preactivation, 0.0)
        # An error is predicted wherever it can be seen: where the ReLU lets the arbiter's value
        # through, give or take a standard deviation, and where it let a runtime's through.
        visible = np.where((preactivation > -predicted) | (errors > 0), predicted, 0.0)
    scaled = np.where(errors > 0, (errors + hidden) / predicted, 0.0)
    axes = tuple(range(1, errors.ndim))
    squares, expected = np.square(errors).mean(axis=axes), np.square(visible).mean(axis=axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sqrt(np.where(squares > 0, squares / expected, 0.0))
    worst = np.unravel_index(int(scaled.argmax()), scaled.shape)
    ratio, deviations = float(ratios.max()), float(scaled[worst])
    reason = _exceeded(ratio, deviations, limits)
    return Verdict(
        passed=not reason,
        ratio=ratio,
        deviations=deviations,
        max_error=float(errors.max()),
        rms_error=float(np.sqrt(squares.mean())),
        rms_predicted=float(np.sqrt(expected.mean())),
        worst=tuple(map(int, worst)),
        histogram=_histogram(scaled),
        reason=reason,
    )


def combine_blocks(blocks: Sequence[tuple[int, int, Verdict]], limits: Limits) -> Verdict:
    """The verdict on a whole tensor from those on its blocks of rows.

    ``blocks`` has the first row, the number of elements and the verdict of each. A block was
    compared as one image: its rows are the second axis.
    """
    sizes, verdicts = [size for _, size, _ in blocks], [verdict for _, _, verdict in blocks]
    for verdict in verdicts:
        if math.isinf(verdict.max_error):
            return verdict

    def rms(figure: str) -> float:
        values = [getattr(verdict, figure) for verdict in verdicts]
        return float(np.sqrt(np.average(np.square(values), weights=sizes)))

    error, predicted = rms("rms_error"), rms("rms_predicted")
    ratio = error / predicted if error else 0.0
    start, _, worst = max(blocks, key=lambda block: block[2].deviations)
    reason = _exceeded(ratio, worst.deviations, limits)
    return replace(
        worst,
        passed=not reason,
        ratio=ratio,
        max_error=max(verdict.max_error for verdict in verdicts),
        rms_error=error,
        rms_predicted=predicted,
        worst=(start + worst.worst[1], *worst.worst[2:]),
        histogram=tuple(map(sum, zip(*(verdict.histogram for verdict in verdicts), strict=True))),
        reason=reason,
    )


def refusal(values: NDArray[Any], shape: tuple[int, ...], whose: str = "its") -> str:
    """Why values cannot be compared with the arbiter's of a shape; empty if they can."""
    if values.shape != shape:
        return f"{whose} shape is {values.shape}, the arbiter's is {shape}"
    if values.ndim < 2 or not values.size:
        return f"nothing to compare in an array of shape {shape}"
    if values.dtype.kind not in "fiu":
        return f"{whose} values are {values.dtype}, not real numbers"
    if bad := int(np.count_nonzero(~np.isfinite(values))):
        return f"{bad} of {whose} {values.size} values are not finite"
    return ""


def _exceeded(ratio: float, deviations: float, limits: Limits) -> str:
    """Which figures exceed their limits; empty if none does."""
    reasons = []
    # Not the other way round: NaN is within no limit.
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
