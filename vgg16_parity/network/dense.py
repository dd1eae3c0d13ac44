"""The arbiter's logits of the network applied densely, and the rounding error to expect of them.

Section 3.2 of the paper: the classifier reads each window of 7×7 on the last maps, and the scores
of a class are averaged over the positions.

The errors of the scores at two positions are not independent: windows overlap, and where a picture
has one colour, all positions have the same scores with the same errors. How much they have in
common depends on the picture and on the weights. Whatever it is, the deviation of a mean over P
positions is at most the mean of the deviations:

    σ(mean) <= Σ σ_p / P,    where independent errors would have  sqrt(Σ σ_p²) / P

The bound is what is predicted. No runtime is blamed for errors that do not average out; and an
error that is the same at every position, as that of a wrong weight is, weighs as much as at one
position. Where errors are independent, those of a right runtime are smaller than predicted by up to
sqrt(P), and a mistake that averages out as they do is seen that much later.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float64, path_rounding
from onnx_arbiter.expectations import Prediction
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.network import reference
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_spec.checkpoint import Checkpoint


def expect_dense_logits(
    checkpoint: Checkpoint,
    images: NDArray[np.floating[Any]],
    mode: Mode = MODES["float32"],
    arithmetic: Arithmetic = PLAIN,
) -> tuple[Float64, NDArray[np.float32], tuple[float, ...]]:
    """The arbiter's logits, the deviation of an error, and how many errors are independent.

    Args:
        checkpoint: the weights, with the classifier.
        images: (N, 3, H, W), preprocessed, no side smaller than the network's own size.
        mode: the numeric mode to predict errors for.
        arithmetic: where errors arise otherwise than the mode says.

    Returns:
        Logits and predicted standard deviations, (N, classes), and for each image the smallest
        number of independent errors at any layer: what
        ``onnx_arbiter.compare.compare_with_arbiter`` needs.

    Raises:
        ValueError: the images are too small.
        BadInput: the checkpoint has no classifier.
    """
    checkpoint.check_top()
    fewest, last = (math.inf,) * len(images), None
    for last in reference.walk(checkpoint, images, (mode,), arithmetic=arithmetic, dense=True):
        fewest = tuple(map(min, fewest, last.independent()[mode.name]))
    assert last is not None
    return (*_averaged(last, mode), fewest)


def _averaged(scores: Prediction, mode: Mode) -> tuple[Float64, NDArray[np.float32]]:
    """The mean over space: (N, classes, H', W') -> (N, classes), and the deviation of its error."""
    values, deviation = scores.preactivation, scores.accumulated[mode.name]
    positions = values[0, 0].size
    logits: Float64 = values.mean((2, 3))
    together: Float64 = deviation.mean((2, 3), dtype=np.float64)
    # A sum of P terms, S the sum of their squares, and a division, or a product with a rounded 1/P:
    # u²/3 · (S (1 + P/6) + y² (P/3 + 2))
    of_squares, of_ends = path_rounding(positions)
    squares = np.square(values / positions).sum((2, 3))
    own = squares * (1 + of_squares) + np.square(logits) * (of_ends + 2)
    own = mode.unit_variance * own + mode.stored**2 / 3 * np.square(logits)
    if positions == 1:  # neither added nor divided
        own = np.zeros_like(own)
    return logits, np.sqrt(np.square(together) + own).astype(np.float32)
