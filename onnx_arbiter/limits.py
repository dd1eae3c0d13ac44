"""Every limit of a comparison, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Tolerance:
    """A limit and the reason for its size."""

    limit: float
    reason: str


@dataclass(frozen=True)
class Limits:
    """The limits within which a comparison passes.

    Attributes:
        ratio: R, the largest allowed rms(error) / rms(predicted standard deviation) of one image.
        deviations: Z, the largest allowed error of one element, in standard deviations predicted
            for that element.
    """

    ratio: Tolerance
    deviations: Tolerance


LIMITS: Final = Limits(
    ratio=Tolerance(
        4.0,
        "rms(error) / rms(predicted) of one image at one layer. VGG16 stayed below 0.83 on "
        "20 seeds in six runtimes. Images of one colour and checkerboards have few distinct "
        "errors, which do not average out: the tiny network reached 2.2 on 20 seeds "
        "(docs/measured/tolerance.md); the limit is about twice that. Adding 0.001 to one "
        "bias of VGG16 gives 58, storing one layer's weights in float16 gives 263 "
        "(docs/measured/mistakes.md).",
    ),
    deviations=Tolerance(
        16.0,
        "The largest of up to 6.4 million errors, in predicted standard deviations: 5.3 "
        "would be expected of normal errors, more of short sums, which are not normal. The "
        "largest of 5,000 layers was 8.2 (docs/measured/tolerance.md); the limit is twice "
        "that. Adding 0.001 to one bias gives 4,700, storing weights in float16 gives 1,500 "
        "(docs/measured/mistakes.md).",
    ),
)

GRADIENT_LIMITS: Final = Limits(
    ratio=Tolerance(
        4.0,
        "rms(error) / rms(predicted) of one tensor's gradient. The prediction assumes "
        "independent errors, but in the backward pass one error near the logits reaches "
        "every term of a sum: the 4 to 12 elements of a small bias vary together. The tiny "
        "network reached 2.1 on 230 seeds in PyTorch, VGG16 0.6 in any runtime; mistakes "
        "exceed 200.",
    ),
    deviations=Tolerance(
        20.0,
        "The largest error of one element. It occurs in the gradient of the images, where "
        "the errors of a few channels add up: the tiny network reached 8.7 on 230 seeds, "
        "VGG16 3; mistakes exceed 600.",
    ),
)

STEP_LIMITS: Final = Limits(
    ratio=Tolerance(
        2.0,
        "rms(error) / rms(predicted) of one tensor after an SGD step from the runtime's own "
        "gradient: a dozen roundings. The hyperparameters' own rounding errors are the same "
        "for every element and do not average out, so 1 is expected. Omitting weight decay "
        "exceeds 700.",
    ),
    deviations=Tolerance(
        10.0,
        "The largest of 138 million uniform or normal errors: 6 would be expected.",
    ),
)
