"""Compare a runtime's values with the arbiter's, or with another run's: arrays in, verdict out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float64, activate
from onnx_arbiter.independence import independent_errors, largest_ratio
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.rectified import largest_sum, share_shown

# Histogram of errors in predicted standard deviations: one bin below 2^-8, one for each power of
# two up to 2^16, one above.
HISTOGRAM_EXPONENTS: Final = tuple(range(-8, 17))
# The index of an image -> the number of independent errors in what it was computed from.
Independent: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Verdict:
    """The result of one comparison.

    Attributes:
        passed: whether both figures are within their limits and every value is finite.
        ratio: R, rms(error) / rms(predicted standard deviation), of the image where it is largest
            relative to that image's limit (``ratio_limit``). Infinite if undefined.
        deviations: Z, the largest error in predicted standard deviations of its own element: the
            smallest limit that would have passed. Infinite if undefined.
        max_error: the largest |error|.
        rms_error: root mean square error over all elements.
        rms_predicted: root mean square of the predicted standard deviations.
        worst: index of the element with ``deviations``: (image, channel, row, column) or
            (image, unit).
        histogram: number of nonzero errors in each bin of ``HISTOGRAM_EXPONENTS``.
        reason: why it did not pass; empty if it did.
        ratio_limit: the limit of ``ratio``: larger than the report's where so few of the image's
            errors are independent that their rms varies; absent if there is none.
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
    ratio_limit: float = field(default=0.0, metadata={"may be absent": True})


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
    independent: Independent | None = None,
) -> Verdict:
    """Compare a runtime's values of one tap with the arbiter's.

    Args:
        observed: the runtime's values, (N, C, H, W) or (N, features); None if it has none.
        preactivation: the arbiter's values before the ReLU.
        deviation: predicted standard deviation of the runtime's error at each element.
        relu: whether a ReLU follows ``preactivation``.
        limits: R and Z.
        independent: the smallest number of independent errors in anything that an image's values
            were computed from; asked only where R is beyond ``limits``. None if it is unknown, or
            nothing before had an error.

    Returns:
        The verdict. Empty arrays, another shape and values that are not finite never pass.
    """
    if observed is None:
        return MISSING
    arbiter = activate(preactivation, relu)
    return compare_runs(
        observed,
        arbiter,
        preactivation,
        deviation,
        relu=relu,
        limits=limits,
        independent=independent,
        whose="the arbiter's",
    )


def compare_runs(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    preactivation: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    *,
    relu: bool = False,
    limits: Limits = LIMITS,
    independent: Independent | None = None,
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
    whole, shown = errors, np.square(predicted)
    if relu:
        # Where one value is positive and a ReLU hides the other, the difference is larger than it
        # appears, by at least the arbiter's distance from zero.
        lifted = (preactivation < 0) & (np.minimum(one, other) <= 0) & (errors > 0)
        whole = np.where(lifted, errors - preactivation, errors)
        shown = shown * share_shown(preactivation, predicted, errors)
    scaled = _in_units(whole, predicted)
    ratio, limit = _worst_ratio(
        whole, shown, preactivation, predicted, relu=relu, limits=limits, independent=independent
    )
    worst = np.unravel_index(int(scaled.argmax()), scaled.shape)
    deviations = float(scaled[worst])
    reason = _exceeded(ratio, limit, deviations, limits)
    return Verdict(
        passed=not reason,
        ratio=ratio,
        deviations=deviations,
        max_error=float(errors.max()),
        rms_error=float(np.sqrt(np.square(errors).mean())),
        rms_predicted=float(np.sqrt(shown.mean())),
        worst=tuple(map(int, worst)),
        histogram=_histogram(scaled),
        reason=reason,
        ratio_limit=limit,
    )


def _in_units(errors: Float64, predicted: Float64) -> Float64:
    """Errors over what is predicted: 0 for none, infinity for one where there can be none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors > 0, errors / predicted, 0.0)


def _worst_ratio(
    errors: Float64,
    shown: Float64,
    values: Float64,
    predicted: Float64,
    *,
    relu: bool,
    limits: Limits,
    independent: Independent | None,
) -> tuple[float, float]:
    """R and its limit, of the image where R is the largest in units of its limit.

    ``shown`` is the variance that R counts, ``predicted`` the deviation whether it shows or not.
    """
    axes = tuple(range(1, errors.ndim))
    squares, expected = np.square(errors).mean(axis=axes), shown.mean(axis=axes)
    ratios = np.sqrt(_in_units(squares, expected))
    allowed = np.full(ratios.shape, limits.ratio.limit)
    # No number of errors explains one where there can be none.
    larger = (ratios > limits.ratio.limit) & np.isfinite(ratios)
    for image in np.flatnonzero(larger) if limits.chance else ():
        before = partial(independent, int(image)) if independent is not None else lambda: math.inf
        allowed[image] = _allowed(
            float(ratios[image]),
            values[image],
            predicted[image],
            shown[image],
            relu,
            limits,
            before,
        )
    worst = (ratios / allowed).argmax()
    return float(ratios[worst]), float(allowed[worst])


def _allowed(
    ratio: float,
    values: Float64,
    predicted: Float64,
    shown: Float64,
    relu: bool,
    limits: Limits,
    before: Callable[[], float],
) -> float:
    """The limit of an R that is larger than R's limit for many errors.

    The squares of all errors that may show add up to those of N independent ones, and what showed
    is at most that. R is in units of the variance ``shown``. ``before`` is N of what the values
    were computed from.
    """
    # An error beyond Z fails, so that none shows further below zero.
    reach = limits.deviations.limit * predicted if relu else math.inf
    possible = np.where(values > -reach, np.square(predicted), 0.0)
    unit = math.sqrt(float(possible.sum()) / float(shown.sum()))
    if ratio > unit * largest_ratio(1, limits.chance):
        return limits.ratio.limit  # more than even a single error explains: nothing to count
    count = min(independent_errors(values, possible), before())
    allowed = unit * largest_ratio(count, limits.chance)
    if relu and ratio <= allowed:
        # Few of the errors that may show do. How far a single one may reach is for Z to say.
        may = possible > 0
        most = largest_sum(values[may], predicted[may], count, limits.chance)
        single = limits.deviations.limit**2 * float(shown.max())
        allowed = min(allowed, math.sqrt(max(most, single) / float(shown.sum())))
    return max(limits.ratio.limit, allowed)


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
    reason = _exceeded(ratio, limits.ratio.limit, worst.deviations, limits)
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


def _exceeded(ratio: float, ratio_limit: float, deviations: float, limits: Limits) -> str:
    """Which figures exceed their limits; empty if none does."""
    reasons = []
    # Not the other way round: NaN is within no limit.
    if not ratio <= ratio_limit:
        reasons.append(f"errors are {ratio:.3g} times the predicted size (limit {ratio_limit:.3g})")
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
