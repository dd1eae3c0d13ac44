"""The predicted errors of TF32 are those of its operands, rounded to nearest or truncated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from differences.arithmetic import tf32
from onnx_arbiter.expectations import Prediction
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32, Mode
from parity_tests.support.arithmetic import rounding
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import ONE_TERM
from vgg16_parity.network import reference
from vgg16_parity.network.prediction import predict
from vgg16_spec.architecture import Convolution
from vgg16_spec.checkpoint import Checkpoint

NEAREST = MODES["tf32"]


def ratios(
    predictions: list[Prediction], taps: Mapping[str, np.ndarray], mode: Mode
) -> list[float]:
    """rms(error) over rms(predicted) of every tap."""
    return [rounding.ratio(tap, taps[tap.tap], tap.accumulated[mode.name]) for tap in predictions]


def test_the_mean_loss_of_a_layers_outputs_by_truncation_is_predicted(
    tiny: Checkpoint, batch: Batch
) -> None:
    # In the first layer, along the prediction: the noise of rounding is in all other directions.
    images = batch(tiny)
    first = next(predict(tiny, images, [TRUNCATED_TF32, NEAREST]))
    cut, rounded = (
        np.square(first.local[mode.name], dtype=np.float64) for mode in (TRUNCATED_TF32, NEAREST)
    )
    predicted = np.sqrt(cut - rounded)
    weight = tf32.truncated(tiny["block1_conv1.weight"])
    layer = tiny.configuration.layers[0]
    assert isinstance(layer, Convolution)
    products = reference.multiply(layer, weight, tf32.truncated(images))
    bias = reference.for_channels(tiny["block1_conv1.bias"], products)
    nearer = -(products + bias - first.preactivation) * np.sign(first.preactivation - bias)
    slope = float((nearer * predicted).sum() / np.square(predicted).sum())
    assert 1 / ONE_TERM.limit < slope < ONE_TERM.limit


def test_a_bias_is_not_truncated(tiny: Checkpoint, batch: Batch) -> None:
    # With weights of zero, outputs are the biases, which are added after the products.
    weights = [name for name in tiny if name.endswith(".weight")]
    biases = tiny.with_tensors({name: np.zeros_like(tiny[name]) for name in weights})
    for tap in predict(biases, batch(tiny), [TRUNCATED_TF32, NEAREST]):
        assert np.array_equal(tap.local[TRUNCATED_TF32.name], tap.local["tf32"]), tap.tap


def test_rounded_operands_pass_as_tf32_and_truncated_ones_as_what_they_are(
    tiny: Checkpoint, batch: Batch
) -> None:
    images = batch(tiny)
    predictions = list(predict(tiny, images, [TRUNCATED_TF32, NEAREST]))
    rounded, cut = (
        tf32.run_with_operands(tiny, images, operands)
        for operands in (tf32.nearest, tf32.truncated)
    )
    assert max(ratios(predictions, rounded, NEAREST)) < LIMITS.ratio.limit
    assert max(ratios(predictions, cut, TRUNCATED_TF32)) < LIMITS.ratio.limit
    # Truncation adds up: without the mean, the last layers would be called wrong.
    assert min(ratios(predictions, cut, NEAREST)[-3:]) > LIMITS.ratio.limit
