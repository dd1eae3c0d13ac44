"""The arbiter's values of VGG16's taps, with the rounding error to expect of a runtime.

One pass beside the forward pass; ``onnx_arbiter/error_model.py`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import ErrorVariance, Float32, Float64, squares_of
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.network import reference
from vgg16_parity.network.reference import EvaluatedLayer
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint


def expect(
    checkpoint: Checkpoint,
    case: Case,
    modes: Sequence[Mode],
    folder: Path,
    *,
    logits_only: bool = False,
) -> ArbiterCase:
    """Run the arbiter on a case and write its answers into a new folder.

    Args:
        checkpoint: with its classifier.
        case: the images.
        modes: the numeric modes to predict errors for.
        folder: created here.
        logits_only: write the last tap only.

    Raises:
        ValueError: the network does not take images of this size.
    """
    only = checkpoint.configuration.taps[-1] if logits_only else ""
    # The comparison reports values that are not finite and variances that overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        return write_case(case, predict(checkpoint, case.images, modes), folder, only=only)


def predict(
    checkpoint: Checkpoint,
    images: NDArray[np.floating[Any]],
    modes: Sequence[Mode] = (MODES["float32"],),
) -> Iterator[Prediction]:
    """The arbiter's values and the predicted standard deviation of an error, tap by tap.

    Args:
        checkpoint: the weights and the network's configuration.
        images: (N, 3, H, W), preprocessed, float32.
        modes: the numeric modes to predict errors for; each costs one pass in float32.

    Raises:
        ValueError: the network does not take images of this size.
    """
    errors = [ErrorVariance(mode, images) for mode in modes]
    previous: EvaluatedLayer | None = None
    for evaluated in reference.walk(checkpoint, images):
        match evaluated.layer:
            case Convolution() | Dense():
                if previous is not None and previous.relu:
                    for error in errors:
                        error.rectify(previous.preactivation)
                _multiply(errors, evaluated, checkpoint)
            case MaxPooling():
                assert previous is not None
                candidates = reference.windows(previous.preactivation)
                for error in errors:
                    error.move(reference.windows)
                    error.maximum(candidates, evaluated.preactivation)
            case Flatten():
                for error in errors:
                    error.move(reference.flatten)
        previous = evaluated
        if evaluated.layer.name in checkpoint.configuration.taps:
            yield Prediction(
                evaluated.layer.name,
                evaluated.preactivation,
                evaluated.relu,
                {error.mode.name: error.accumulated_deviation() for error in errors},
                {error.mode.name: error.local_deviation() for error in errors},
            )


def predict_logits(
    checkpoint: Checkpoint, images: NDArray[np.floating[Any]], mode: Mode = MODES["float32"]
) -> tuple[Float64, NDArray[np.float32]]:
    """The arbiter's logits and the predicted standard deviation of an error, (N, classes)."""
    *_, last = predict(checkpoint, images, (mode,))
    return last.preactivation, last.accumulated[mode.name]


def through_softmax(
    logits: Float64, deviation: Float32, probabilities: Float64, mode: Mode = MODES["float32"]
) -> Float64:
    """The predicted standard deviation of the probabilities, from that of the logits.

    All arrays are (N, classes). The derivative of a probability p_i by a logit z_j is
    p_i (δ_ij - p_j). Softmax itself rounds the difference to the largest logit, which becomes a
    relative error of the exponential; the exponential; the sum; and the quotient.
    """
    variance = np.square(deviation, dtype=np.float64)
    weighted = np.square(probabilities) * variance
    others = weighted.sum(axis=1, keepdims=True) - weighted
    own = np.square(1 - probabilities) * variance
    below = logits.max(axis=1, keepdims=True) - logits
    rounding = mode.unit_variance * (np.square(below) + 3)
    result: Float64 = probabilities * np.sqrt(own + others + rounding)
    return result


def _multiply(
    errors: Sequence[ErrorVariance], evaluated: EvaluatedLayer, checkpoint: Checkpoint
) -> None:
    """Pass the errors of all modes through a layer with weights."""
    layer, preactivation = evaluated.layer, evaluated.preactivation
    assert isinstance(layer, Convolution | Dense)
    weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
    # One product for all modes, so that the weights are squared once.
    inputs = [squares_of(evaluated.inputs), *(error.accumulated for error in errors)]
    products = reference.multiply(layer, weight, np.concatenate(inputs), squared=True)
    squares, *carried = np.split(products, len(inputs))
    for error, variance in zip(errors, carried, strict=True):
        error.multiply(preactivation, squares, variance, weight[0].size)
        if error.bias is not None:
            mean = reference.multiply(layer, weight, error.bias.accumulated)
            error.bias.multiply(preactivation - reference.for_channels(bias, preactivation), mean)
