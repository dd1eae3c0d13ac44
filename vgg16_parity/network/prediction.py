"""How large a runtime's error may be: the variance of rounding, propagated through the network.

One pass beside the arbiter's. With x what a layer reads, y its output before the ReLU, W its
weights, K the length of its sums, and ∘ element by element:

    S     = W∘W * x∘x
    v_out = W∘W * v_in + (u²/3) · ( S · (1 + K/6) + y∘y · K/3 )

The first term carries the error of what the layer reads. The second is its own: each of the K
products is rounded (S), and each of the K partial sums. A rounding error is uniform, u²/3 of its
value's square in variance. A sum of K terms of either sign walks from 0 to y, straight on the
average and with the variance of a Brownian bridge around that: the squares of its partial sums add
up to K/3 · y² + K/6 · S. On the average over many outputs, where y² is S, that is K/2 · S.

ReLU passes the variance on where y is above zero, or so little below that an error may lift it
there; max pooling passes on the largest among the elements that an error may lift to the maximum.
Modes that round more than sums add the rounding of operands and of stored outputs.

Where hardware may cut the last bits of operands off, errors have a mean m besides: each operand
loses the part c of itself on the average, so that with b the bias

    m_out = W * m_in - 2 · c · ( y - b )

which adds up through the layers as it is, not as squares do.

The predicted standard deviation of a runtime's error at an element is the square root of v + m∘m.
``vgg16_parity/network/error_model.py`` has the layers, one by one.
Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapters 2 to 4, has the rounding
model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.network import reference
from vgg16_parity.network.error_model import ErrorVariance, Float32, squares_of
from vgg16_parity.network.reference import Float64, Step
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint


@dataclass(frozen=True)
class Prediction:
    """What the arbiter expects of one tap, and how far off a runtime may be.

    Attributes:
        tap: the tap's name.
        before: the values before the ReLU, (N, C, H, W) or (N, features), float64.
        relu: whether the tap's values are those above zero.
        accumulated: mode -> predicted standard deviation where a runtime has computed all layers so
            far; the array's shape is that of ``before``.
        local: the same where a runtime is given the arbiter's input of this layer, rounded.
    """

    tap: str
    before: Float64
    relu: bool
    accumulated: dict[str, Float32]
    local: dict[str, Float32]

    @property
    def values(self) -> Float64:
        """The tap's values."""
        return reference.rectify(self.before) if self.relu else self.before


def predict(
    checkpoint: Checkpoint,
    images: NDArray[np.floating[Any]],
    modes: Sequence[Mode] = (MODES["float32"],),
) -> Iterator[Prediction]:
    """The arbiter's values and the predicted standard deviation of an error, tap by tap.

    Args:
        checkpoint: the weights, and through its configuration the network.
        images: (N, 3, H, W), preprocessed, float32.
        modes: which numeric modes to predict for; each costs a pass in float32.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    spreads = [ErrorVariance(mode, images) for mode in modes]
    previous: Step | None = None
    for step in reference.walk(checkpoint, images):
        layer = step.layer
        match layer:
            case Convolution() | Dense():
                weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
                for spread in spreads:
                    spread.rectify(previous)
                # One product for all: the weights' squares are made once.
                together = [squares_of(step.inputs), *(spread.accumulated for spread in spreads)]
                products = reference.multiply(layer, weight, np.concatenate(together), squared=True)
                squares, *carried = np.split(products, len(together))
                for spread, variance in zip(spreads, carried, strict=True):
                    spread.multiply(step, squares, variance, weight[0].size)
                    if spread.drift is not None:
                        spread.drift.multiply(step, weight, bias)
            case MaxPooling():
                assert previous is not None
                among = reference.windows(previous.before)
                for spread in spreads:
                    spread.pool(step, among)
            case Flatten():
                for spread in spreads:
                    spread.flatten()
        previous = step
        if layer.name in checkpoint.configuration.taps:
            yield Prediction(
                layer.name,
                step.before,
                step.relu,
                {spread.mode.name: spread.accumulated_deviation() for spread in spreads},
                {spread.mode.name: spread.local_deviation() for spread in spreads},
            )


def predict_logits(
    checkpoint: Checkpoint, images: NDArray[np.floating[Any]], mode: Mode = MODES["float32"]
) -> tuple[Float64, Float32]:
    """The arbiter's logits and the predicted standard deviation of an error, (images, classes)."""
    *_, last = predict(checkpoint, images, (mode,))
    return last.before, last.accumulated[mode.name]


def through_softmax(
    logits: Float64, deviation: Float32, probabilities: Float64, mode: Mode = MODES["float32"]
) -> Float64:
    """The predicted standard deviation of probabilities whose logits have the one given.

    All arrays are (images, classes). The derivative of a probability p_i by a logit z_j is
    p_i (δ_ij - p_j). Its own arithmetic rounds the difference to the largest logit, which the
    exponential then takes for a relative error, the exponential, the sum and the quotient.
    """
    variance = np.square(deviation, dtype=np.float64)
    weighted = np.square(probabilities) * variance
    others = weighted.sum(axis=1, keepdims=True) - weighted
    own = np.square(1 - probabilities) * variance
    below = logits.max(axis=1, keepdims=True) - logits
    rounding = mode.sums**2 / 3 * (np.square(below) + 3)
    result: Float64 = probabilities * np.sqrt(own + others + rounding)
    return result
