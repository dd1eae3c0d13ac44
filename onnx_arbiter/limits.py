"""Every limit of a judgement, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Tolerance:
    """A limit and why it is where it is."""

    limit: float
    reason: str


@dataclass(frozen=True)
class Limits:
    """What a runtime passes a tap with.

    Attributes:
        ratio: R, the most that rms(error) over rms(predicted standard deviation) may be, of one
            image.
        deviations: Z, the most predicted standard deviations that any element's error may be.
    """

    ratio: Tolerance
    deviations: Tolerance


LIMITS: Final = Limits(
    ratio=Tolerance(
        limit=4.0,
        reason=(
            "rms(error) over rms(predicted) of one image at one layer. VGG16 on 20 seeds in six "
            "runtimes stayed below 0.83. Images of one colour and checkerboards have few errors "
            "that differ, which do not average out: 2.2 was the largest of 20 seeds of the tiny "
            "network (docs/measured/tolerance.md); this is about twice that. One bias of VGG16 off "
            "by a thousandth lands at 58, weights that went through float16 at 263 "
            "(docs/measured/mistakes.md)."
        ),
    ),
    deviations=Tolerance(
        limit=16.0,
        reason=(
            "The largest error of up to 6.4 million elements in predicted standard deviations: 5.3 "
            "if they were normal, more since short sums are not. 8.2 was the largest of 5,000 "
            "layers run (docs/measured/tolerance.md); this is twice that. One bias off by a "
            "thousandth lands at 4,700, weights that went through float16 at 1,500 "
            "(docs/measured/mistakes.md)."
        ),
    ),
)
