"""The classes that a runtime's logits rank highest, compared with the arbiter's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.limits import LIMITS, Limits
from vgg16_parity.records import Decision
from vgg16_spec.logits import top


def decide(
    logits: NDArray[Any],
    arbiter: NDArray[np.float64],
    deviation: NDArray[np.floating[Any]],
    limits: Limits = LIMITS,
) -> tuple[Decision, ...]:
    """Compare the top classes of each image.

    Args:
        logits: the runtime's, (N, classes).
        arbiter: the arbiter's, (N, classes).
        deviation: the predicted standard deviation of each logit's error, (N, classes).
        limits: Z decides how far errors may move a logit.
    """
    decisions = []
    # Sorting negates logits, which would wrap unsigned numbers around.
    for ours, theirs, predicted in zip(logits.astype(np.float64), arbiter, deviation, strict=True):
        first, wanted = top(ours[np.newaxis], 5)[0], top(theirs[np.newaxis], 5)[0]
        allowed = limits.deviations.limit * predicted.astype(np.float64)
        swaps = [
            (lost, gained)
            for count in (1, 5)
            for lost in set(wanted[:count]) - set(first[:count])
            for gained in set(first[:count]) - set(wanted[:count])
        ]
        beyond_rounding = any(
            theirs[lost] - theirs[gained] > allowed[lost] + allowed[gained]
            for lost, gained in swaps
        )
        ordered = np.sort(theirs)[::-1]
        decisions.append(
            Decision(
                top1=int(first[0]),
                arbiter_top1=int(wanted[0]),
                top5=tuple(map(int, first)),
                arbiter_top5=tuple(map(int, wanted)),
                margin=float(ordered[0] - ordered[1]) if len(ordered) > 1 else math.inf,
                largest_error=float(np.abs(ours - theirs).max()),
                outcome="flipped" if beyond_rounding else "inside" if swaps else "agrees",
            )
        )
    return tuple(decisions)
