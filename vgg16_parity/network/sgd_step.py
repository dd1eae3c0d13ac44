"""One step of SGD with momentum and weight decay, with the paper's values (section 3.1).

For a parameter w, its gradient g and its velocity b:

    b' = momentum · b + g + weight_decay · w
    w' = w - learning_rate · b'

Weight decay is part of the gradient, as in Caffe; the velocity does not include the learning rate,
as in PyTorch.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.logits import top

Labels = NDArray[np.int64]

# The file in a case's folder that holds the labels of its images.
LABELS: Final = "labels"
LEARNING_RATE: Final = 1e-2
MOMENTUM: Final = 0.9
WEIGHT_DECAY: Final = 5e-4


def labels(expectation: ArbiterCase) -> Labels:
    """The label of each image, (N,): the arbiter's second-ranked class.

    The first would make the gradients of a confident network vanish.
    """
    logits = np.asarray(expectation.preactivation(expectation.last))
    return top(logits, 2)[:, -1].astype(np.int64)


def velocity(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """The velocity before the step: each parameter's values in reverse order, in canonical layout.

    It is not zero, is as large as the weights, and changes under any permutation. Views, no copies.
    """
    return {name: np.flip(checkpoint[name]) for name in checkpoint}


def step(
    weight: NDArray[np.float32],
    gradient: NDArray[np.floating[Any]],
    velocity: NDArray[np.float32],
    mode: Mode,
) -> tuple[ValueWithVariance, ValueWithVariance]:
    """A parameter and its velocity after the step.

    The variance covers every operation, in either order that frameworks use (the learning rate
    inside the velocity or not), and the rounding of the three hyperparameters to float32.

    Args:
        weight: the parameter, or rows of it.
        gradient: its gradient.
        velocity: its velocity before the step.
        mode: the numeric mode.
    """
    unit = mode.unit_variance
    w, g, b = (array.astype(np.float64) for array in (weight, gradient, velocity))
    decayed, kept = WEIGHT_DECAY * w, MOMENTUM * b
    moved = kept + g + decayed
    variance = unit * (2 * decayed**2 + 2 * (g + decayed) ** 2 + 2 * kept**2 + 3 * moved**2)
    rate = LEARNING_RATE**2
    stepped = w - LEARNING_RATE * moved
    return (
        ValueWithVariance(stepped, rate * (variance + unit * 2 * moved**2) + unit * stepped**2),
        ValueWithVariance(moved, variance),
    )
