"""The error model of TF32 predicts what operands lose, whether they are rounded or cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest

from differences.arithmetic import tf32
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES, Mode
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import MODEL_FIT, ONE_TERM
from vgg16_parity.network import reference
from vgg16_parity.network.error_model import ErrorBias
from vgg16_parity.network.prediction import Prediction, predict
from vgg16_parity.network.reference import Step
from vgg16_spec.architecture import Convolution, Dense
from vgg16_spec.checkpoint import Checkpoint

Operands: TypeAlias = Callable[[np.ndarray], np.ndarray]

# TF32 of hardware that always rounds to the nearest.
NEAREST = replace(MODES["tf32"], name="tf32 to the nearest", cut=0.0)


def ratios(
    predictions: list[Prediction], taps: Mapping[str, np.ndarray], mode: Mode, kind: str
) -> list[float]:
    """rms(error) over rms(predicted) of every tap."""
    found = []
    for tap in predictions:
        deviation = getattr(tap, kind)[mode.name].astype(np.float64)
        own = np.where((tap.before > 0) | (not tap.relu), deviation, 0)
        errors = taps[tap.tap] - tap.values
        found.append(float(np.sqrt(np.square(errors).mean() / np.square(own).mean())))
    return found


@pytest.mark.parametrize(
    ("rounded", "mode"), [(tf32.nearest, NEAREST), (tf32.truncated, MODES["tf32"])]
)
def test_tf32_predicts_what_its_operands_do(
    tiny: Checkpoint, batch: Batch, rounded: Operands, mode: Mode
) -> None:
    images = batch(tiny)
    predictions = list(predict(tiny, images, [mode]))
    taps = tf32.run_with_operands(tiny, images, rounded)
    for ratio in ratios(predictions, taps, mode, "accumulated"):
        assert 1 / MODEL_FIT.limit < ratio < MODEL_FIT.limit


@pytest.mark.parametrize(
    ("rounded", "mode"), [(tf32.nearest, NEAREST), (tf32.truncated, MODES["tf32"])]
)
def test_tf32_predicts_what_the_operands_of_a_layer_alone_do(
    tiny: Checkpoint, batch: Batch, rounded: Operands, mode: Mode
) -> None:
    images = batch(tiny)
    alone = {}
    for step in reference.walk(tiny, images):
        if isinstance(step.layer, Convolution | Dense):
            weight, bias = (tiny[f"{step.layer.name}.{kind}"] for kind in ("weight", "bias"))
            given = rounded(step.inputs.astype(np.float32))
            before = reference.multiply(step.layer, rounded(weight), given)
            before += reference.for_channels(bias, before)
            alone[step.layer.name] = reference.rectify(before) if step.relu else before
    weighted = [tap for tap in predict(tiny, images, [mode]) if tap.tap in alone]
    assert len(weighted) == len(tiny.configuration.taps) - 5
    for ratio in ratios(weighted, alone, mode, "local"):
        assert 1 / MODEL_FIT.limit < ratio < MODEL_FIT.limit


def test_what_is_cut_off_of_a_layers_outputs_is_predicted(tiny: Checkpoint, batch: Batch) -> None:
    # Of the first layer, along the prediction: rounding's own noise is in all other directions.
    images = batch(tiny)
    first = next(predict(tiny, images, [MODES["tf32"], NEAREST]))
    cut, rounded = (
        np.square(first.local[mode.name], dtype=np.float64) for mode in (MODES["tf32"], NEAREST)
    )
    predicted = np.sqrt(cut - rounded)
    weight = tf32.truncated(tiny["block1_conv1.weight"])
    layer = tiny.configuration.layers[0]
    assert isinstance(layer, Convolution)
    products = reference.multiply(layer, weight, tf32.truncated(images))
    bias = reference.for_channels(tiny["block1_conv1.bias"], products)
    nearer = -(products + bias - first.before) * np.sign(first.before - bias)
    slope = float((nearer * predicted).sum() / np.square(predicted).sum())
    assert 1 / ONE_TERM.limit < slope < ONE_TERM.limit


def test_of_a_bias_nothing_is_cut_off() -> None:
    # Weights of zero leave the bias alone, which is added behind the products.
    layer = Dense("fc1", 3, 2, relu=True)
    drift = ErrorBias(0.1, np.ones((1, 3), np.float32))
    before = np.array([[5.0, -7.0]])
    weight, bias = np.zeros((2, 3), np.float32), np.array([5, -7], np.float32)
    drift.multiply(Step(layer, np.ones((1, 3)), before, True, before), weight, bias)
    assert drift.local.tolist() == drift.accumulated.tolist() == [[0, 0]]


@pytest.mark.parametrize(("third", "largest"), [(False, 3.0), (True, -5.0)])
def test_pooling_takes_the_largest_drift_of_those_that_may_win(third: bool, largest: float) -> None:
    drift = ErrorBias(0.1, np.ones((1, 1, 2, 2), np.float32))
    drift.accumulated = np.array([[[[-1, 3], [-5, 2]]]], np.float32)
    drift.pool(np.array([True, True, third, True]).reshape(1, 1, 1, 1, 4))
    assert drift.accumulated.ravel().tolist() == [largest]
    # What a pooling alone is given it passes on as it is.
    assert drift.local.ravel().tolist() == [0]


def test_tf32_passes_whether_operands_are_rounded_or_cut_off(
    tiny: Checkpoint, batch: Batch
) -> None:
    images = batch(tiny)
    predictions = list(predict(tiny, images, [MODES["tf32"], NEAREST]))
    rounded, cut = (
        tf32.run_with_operands(tiny, images, operands) for operands in (tf32.nearest, tf32.truncated)
    )
    assert max(ratios(predictions, rounded, MODES["tf32"], "accumulated")) < LIMITS.ratio.limit
    # What is cut off adds up: without the mean, the last layers would be called wrong.
    assert min(ratios(predictions, cut, NEAREST, "accumulated")[-3:]) > LIMITS.ratio.limit
