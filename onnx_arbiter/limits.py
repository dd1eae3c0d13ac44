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
        ratio: R, the largest allowed rms(error) / rms(predicted standard deviation) of one image
            whose errors are many.
        deviations: Z, the largest allowed error of one element, in standard deviations predicted
            for that element.
        chance: with which probability the errors of one image may exceed R where so few of them are
            independent that their rms varies (``onnx_arbiter/independence.py``): there, R is larger
            than ``ratio``. Zero if it is ``ratio`` in any case.
    """

    ratio: Tolerance
    deviations: Tolerance
    chance: float = 0.0


LIMITS: Final = Limits(
    ratio=Tolerance(
        1.5,
        "rms(error) / rms(predicted) of one image at one layer whose errors are many. The "
        "prediction is an upper bound, so that 1 would be the most on average; VGG16 stayed below "
        "0.83 on 20 seeds in six runtimes. Equal values round alike: where few errors of an image "
        "are independent, as in images of one colour, R varies, and the limit is what N "
        "independent normal errors exceed with a probability of 1e-7, N being the smallest number "
        "at any layer so far, or of a layer alone the smaller of its own and its input's. That is "
        "5.8 for N = 1, 2.3 for 10, and 1.5 from 61 on (docs/measured/tolerance.md). Behind a "
        "ReLU, it is what those that show exceed (onnx_arbiter/rectified.py). Adding 0.001 "
        "to one bias of VGG16 gives 58, storing one layer's weights in float16 gives 263 "
        "(docs/measured/mistakes.md).",
    ),
    deviations=Tolerance(
        10.0,
        "The largest of up to 6.4 million errors, in predicted standard deviations: 5.3 "
        "would be expected of normal errors, more of short sums, which are not normal. The "
        "largest of 5,000 layers was 8.2 (docs/measured/tolerance.md). Adding 0.001 to one bias "
        "gives 4,700, storing weights in float16 gives 1,500 (docs/measured/mistakes.md).",
    ),
    chance=1e-7,
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
