"""One step of SGD with momentum and weight decay, as section 3.1 of the paper has it.

With w a parameter, g its gradient, b the velocity, and the paper's figures:

    b' = momentum · b + g + weight_decay · w
    w' = w - learning_rate · b'

That is Caffe's decay, part of the gradient, and PyTorch's velocity, without the learning rate.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.logits import top

Labels = NDArray[np.int64]

# The file in a case's folder that tells the worker its images' labels.
LABELS: Final = "labels"
LEARNING_RATE: Final = 1e-2
MOMENTUM: Final = 0.9
WEIGHT_DECAY: Final = 5e-4


def labels(expectation: ArbiterCase, mode: Mode) -> Labels:
    """The class that each image is said to be of: the arbiter's second, (N,).

    The first would make gradients of a network that is sure of itself vanish.
    """
    logits = np.asarray(expectation.tap(list(expectation.relus)[-1], mode).before)
    return top(logits, 2)[:, -1].astype(np.int64)


def velocity(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """What the step starts from: every parameter's values in reverse, in canonical layout.

    Not zero, of a size with the weights, and another after any permutation; views, not copies.
    """
    return {name: np.flip(checkpoint[name]) for name in checkpoint}


def step(
    weight: NDArray[np.float32],
    gradient: NDArray[np.floating[Any]],
    before: NDArray[np.float32],
    mode: Mode,
) -> tuple[ValueWithVariance, ValueWithVariance]:
    """A parameter and its velocity after the step, from those before and a gradient that is given.

    The variance is that of every operation, in either order of them that frameworks have (the
    learning rate inside the velocity or not), and of the three figures, which float32 rounds.
    """
    unit = mode.sums**2 / 3
    w, g, b = weight.astype(np.float64), gradient.astype(np.float64), before.astype(np.float64)
    decayed, kept = WEIGHT_DECAY * w, MOMENTUM * b
    moved = kept + g + decayed
    own = 2 * decayed**2 + 2 * (g + decayed) ** 2 + 2 * kept**2 + 3 * moved**2
    variance = unit * own
    rate = LEARNING_RATE**2
    stepped = w - LEARNING_RATE * moved
    return (
        ValueWithVariance(stepped, rate * (variance + unit * 2 * moved**2) + unit * stepped**2),
        ValueWithVariance(moved, variance),
    )
