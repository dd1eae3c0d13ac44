"""The arbiter's values of VGG16's taps, with the rounding error to expect of a runtime.

One pass beside the forward pass; ``onnx_arbiter/error_model.py`` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.network import reference
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.coverage import CaseExercised
from vgg16_spec.checkpoint import Checkpoint


def expect(
    checkpoint: Checkpoint,
    case: Case,
    modes: Sequence[Mode],
    folder: Path,
    *,
    arithmetic: Arithmetic = PLAIN,
    logits_only: bool = False,
    exercised: CaseExercised | None = None,
) -> ArbiterCase:
    """Run the arbiter on a case and write its answers into a new folder.

    With ``logits_only``, write the last tap alone. ``exercised`` takes what the case exercises, if
    its images are finite. Raises ``ValueError`` if the network does not take images of this size.
    """
    only = checkpoint.configuration.taps[-1] if logits_only else ""
    # The comparison reports values that are not finite and variances that overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        answers = predict(checkpoint, case.images, modes, arithmetic)
        if exercised is not None and case.finite:
            answers = exercised.observe(case.images, answers)
        return write_case(case, answers, folder, only=only)


def predict(
    checkpoint: Checkpoint,
    images: NDArray[np.floating[Any]],
    modes: Sequence[Mode] = (MODES["float32"],),
    arithmetic: Arithmetic = PLAIN,
) -> Iterator[Prediction]:
    """The arbiter's values and the predicted standard deviation of an error, tap by tap.

    Args:
        checkpoint: the weights and the network's configuration.
        images: (N, 3, H, W), preprocessed, float32.
        modes: the numeric modes to predict errors for; each costs one pass in float32.
        arithmetic: where errors arise otherwise than the modes say.

    Raises:
        ValueError: the network does not take images of this size.
    """
    return reference.walk(checkpoint, images, modes, arithmetic=arithmetic)


def compute_roughly(
    checkpoint: Checkpoint, images: NDArray[np.floating[Any]]
) -> Iterator[Prediction]:
    """The taps' values in float32 without any predicted error, for what needs no verdict."""
    return reference.walk(checkpoint, images, precision=np.float32)


def predict_logits(
    checkpoint: Checkpoint, images: NDArray[np.floating[Any]], mode: Mode = MODES["float32"]
) -> tuple[Float64, NDArray[np.float32]]:
    """The arbiter's logits and the predicted standard deviation of an error, (N, classes)."""
    return expect_logits(checkpoint, images, mode)[:2]


def expect_logits(
    checkpoint: Checkpoint, images: NDArray[np.floating[Any]], mode: Mode = MODES["float32"]
) -> tuple[Float64, NDArray[np.float32], tuple[float, ...]]:
    """The same, and for each image the smallest number of independent errors before the logits."""
    fewest = (math.inf,) * len(images)
    for tap in predict(checkpoint, images, (mode,)):
        if tap.tap == checkpoint.configuration.taps[-1]:
            return tap.preactivation, tap.accumulated[mode.name], fewest
        fewest = tuple(map(min, fewest, tap.independent()[mode.name]))
    raise AssertionError("a network ends with its logits")


def through_softmax(
    logits: Float64, deviation: Float32, probabilities: Float64, mode: Mode = MODES["float32"]
) -> Float64:
    """The predicted standard deviation of the probabilities, from that of the logits.

    All arrays are (N, classes). The derivative of a probability p_i by a logit z_j is
    p_i (δ_ij - p_j). Softmax itself rounds the difference to the largest logit, which becomes a
    relative error of the exponential; the exponential; the sum; and the quotient.
    """
    relative = through_log_softmax(logits, deviation, probabilities, mode)
    result: Float64 = probabilities * relative
    return result


def through_log_softmax(
    logits: Float64, deviation: Float32, probabilities: Float64, mode: Mode = MODES["float32"]
) -> Float64:
    """The predicted standard deviation of the probabilities' logarithms; as `through_softmax`."""
    variance = np.square(deviation, dtype=np.float64)
    weighted = np.square(probabilities) * variance
    others = weighted.sum(axis=1, keepdims=True) - weighted
    own = np.square(1 - probabilities) * variance
    below = logits.max(axis=1, keepdims=True) - logits
    rounding = mode.unit_variance * (np.square(below) + 3)
    result: Float64 = np.sqrt(own + others + rounding)
    return result
