"""How far a runtime's logits are from the arbiter's, and whether that is too far.

Arrays in, a verdict out: nothing here knows where the arrays come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """A limit and why it is where it is."""

    limit: float
    reason: str


LOGITS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "max |error| over max |arbiter logit| of the same image. Rounding in float32 through the "
        "16 layers of VGG16 was measured at 0.08e-5 to 0.21e-5 in six runtimes on the project's "
        "photographs (the README's sample); one bias off by a thousandth breaks it in a test."
    ),
)


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Parameters
    ----------
    passed: whether every logit is near enough.
    max_error: the largest |logit - arbiter logit| of any class of any image.
    relative_error: the largest, over the images, of max |error| / max |arbiter logit|: the smallest
        limit that would have passed. Infinite where that has no value.
    limit: what ``relative_error`` was held against.
    images: how many images were compared.
    top1_agreement: on how many of them both have the same first class.
    top5_agreement: on how many of them both have the same first five classes, in any order.
    reason: why it did not pass; empty where it did.
    """

    passed: bool
    max_error: float
    relative_error: float
    limit: float
    images: int
    top1_agreement: int
    top5_agreement: int
    reason: str = ""


def judge(logits: NDArray[Any], arbiter: NDArray[Any], tolerance: Tolerance = LOGITS) -> Verdict:
    """Compare a runtime's logits with the arbiter's, both (images, classes).

    Nothing to compare, another shape, and anything that is not finite on either side never pass.
    """

    def refuse(reason: str) -> Verdict:
        return Verdict(False, math.inf, math.inf, tolerance.limit, 0, 0, 0, reason)

    if logits.shape != arbiter.shape:
        return refuse(f"the logits are {logits.shape}, the arbiter's are {arbiter.shape}")
    if arbiter.ndim != 2 or not arbiter.size:
        return refuse(f"nothing to compare in an array of shape {arbiter.shape}")
    for whose, values in (("the arbiter's", arbiter), ("the", logits)):
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            return refuse(f"{bad} of {whose} {values.size} logits are not finite")
    errors = np.abs(logits.astype(np.float64) - arbiter).max(axis=1)  # one for each image
    sizes = np.abs(arbiter).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(errors == 0, 0.0, errors / sizes)
    relative = float(ratios.max())
    passed = relative <= tolerance.limit
    return Verdict(
        passed=passed,
        max_error=float(errors.max()),
        relative_error=relative,
        limit=tolerance.limit,
        images=len(arbiter),
        top1_agreement=_agreement(logits, arbiter, 1),
        top5_agreement=_agreement(logits, arbiter, 5),
        reason="" if passed else f"off by {relative:.1e} of the largest logit",
    )


def top(logits: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The classes of the largest logits, the largest first: (images, classes) -> (images, count).

    Of equal logits the lower class comes first.
    """
    return np.argsort(-logits, axis=1, kind="stable")[:, :count]


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of logits, (images, classes)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _agreement(logits: NDArray[Any], arbiter: NDArray[Any], count: int) -> int:
    pairs = zip(top(logits, count), top(arbiter, count), strict=True)
    return sum(set(ours) == set(theirs) for ours, theirs in pairs)
