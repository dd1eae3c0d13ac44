"""Every tolerance that a test uses, with the reason for its size."""

from __future__ import annotations

from typing import Final

from parity.compare import Tolerance

FLOAT64: Final = Tolerance(
    limit=1e-12,
    reason=(
        "Two float64 evaluations of one network that sum in different orders, relative to the "
        "largest value of the tap: a few hundred unit roundoffs of 1.1e-16 were measured, the "
        "limit leaves a factor of ten. One value in float32 lands at 1e-8."
    ),
)

FLOAT32_TAPS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "A float32 evaluation against the float64 arbiter, relative to the largest value of the "
        "tap: `parity.compare.LOGITS` at every layer."
    ),
)

ACTIVATION_GROWTH: Final = Tolerance(
    limit=4.0,
    reason=(
        "How far a layer's rms activation may lie from the first layer's, as a factor either way. "
        "He scaling keeps the second moment; max pooling raises it a little at each block: 3 was "
        "measured after all five. Weights scaled by a wrong factor of 2 drift by 2 ** 16."
    ),
)

SEEDED_MEAN: Final = Tolerance(
    limit=5.0,
    reason=(
        "How many standard errors the mean of a seeded tensor may lie from zero: values are "
        "independent and symmetric, and the tensors are fixed, so that this cannot flake."
    ),
)
