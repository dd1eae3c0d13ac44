"""The predicted errors of VGG16's layers are those that rounding causes."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic import rounding
from parity_tests.support.helpers import Batch, assert_taps_hold
from parity_tests.support.tolerances import (
    FLOAT32_TAPS,
    MEASURED_VARIANCE,
    MODEL_FIT,
    ONE_TERM,
    UNIFORM_MANTISSAS,
)
from parity_tests.support.weights.changed import with_value
from vgg16_parity.network import reference
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.network.prediction import (
    expect_logits,
    predict,
    through_softmax,
)
from vgg16_spec.architecture import MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.logits import softmax

FLOAT32 = MODES["float32"]


def test_the_error_of_what_a_layer_reads_goes_through_its_weights(
    tiny: Checkpoint, batch: Batch
) -> None:
    # Noise far above float32's rounding on the images, through the float64 arbiter.
    images = batch(tiny)[:1].astype(np.float64)
    draw = np.random.default_rng(4)
    size = 1e-3
    noisy = [
        reference.run_with_taps(tiny, images + size * draw.standard_normal(images.shape))
        for _ in range(60)
    ]

    arithmetic = Arithmetic(input_deviation=np.full(images.shape, size, np.float32))
    predicted = list(predict(tiny, images, arithmetic=arithmetic))
    # Further on, errors of neighbours are no longer independent, which the model takes them for.
    for tap in predicted[:2]:
        observed = np.stack([run[tap.tap] for run in noisy])
        ratio = rounding.ratio(tap, observed, tap.accumulated["float32"])
        assert 1 / ONE_TERM.limit < ratio < ONE_TERM.limit, tap.tap


def test_the_first_layers_error_is_its_own(tiny: Checkpoint, batch: Batch) -> None:
    first = next(predict(tiny, batch(tiny)))
    assert np.array_equal(first.accumulated["float32"], first.local["float32"])


def test_a_local_error_is_smaller_than_an_accumulated_one(tiny: Checkpoint, batch: Batch) -> None:
    for tap in list(predict(tiny, batch(tiny), list(MODES.values())))[1:]:
        for mode in MODES:
            local, accumulated = (
                np.square(values[mode], dtype=np.float64).mean()
                for values in (tap.local, tap.accumulated)
            )
            assert local < accumulated, (tap.tap, mode)


def test_pooling_takes_the_error_of_the_element_that_won(tiny: Checkpoint, batch: Batch) -> None:
    taps = {tap.tap: tap for tap in predict(tiny, batch(tiny))}
    for layer in tiny.configuration.layers:
        if isinstance(layer, MaxPooling):
            pooled = taps[layer.name]
            read = list(taps.values())[list(taps).index(layer.name) - 1]
            rows, columns = np.indices(pooled.preactivation.shape[2:])
            for image, channel in np.ndindex(pooled.preactivation.shape[:2]):
                values, deviation = read.preactivation[image, channel], read.accumulated["float32"]
                for row, column in zip(rows.flat, columns.flat, strict=True):
                    window = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    won = values[window].argmax()
                    assert (
                        pooled.preactivation[image, channel, row, column]
                        == values[window].flat[won]
                    )
                    expected = deviation[image, channel][window].flat[won]
                    assert pooled.accumulated["float32"][image, channel, row, column] == expected


def test_nothing_of_the_error_passes_where_relu_cuts_far_below_zero(batch: Batch) -> None:
    # A first layer whose outputs are all cut: the second reads exact zeros.
    seeded = generate(configuration("tiny"))
    dead = seeded.with_tensors({"block1_conv1.bias": np.full(4, -1e3, np.float32)})
    images = batch(seeded)
    second = list(predict(dead, images))[1]
    bias = np.abs(dead["block1_conv2.bias"]).max()
    length = dead["block1_conv2.weight"][0].size
    own = FLOAT32.sums * np.sqrt(length / 9) * bias
    assert second.accumulated["float32"].max() <= own * (1 + MODEL_FIT.limit * FLOAT32.sums)


def test_the_smallest_numbers_are_not_predicted_exact(tiny: Checkpoint) -> None:
    # Nothing in, nothing out: a runtime may still flush what is smaller than a normal number.
    nothing = tiny.with_tensors({name: np.zeros_like(values) for name, values in tiny.items()})
    for mode in MODES.values():
        for tap in predict(nothing, np.zeros((1, 3, 64, 64), np.float32), [mode]):
            assert (tap.accumulated[mode.name] >= np.float32(mode.smallest)).all()


def test_predicting_several_modes_at_once_changes_none(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    together = list(predict(tiny, images, list(MODES.values())))
    for mode in MODES.values():
        for one, all_modes in zip(predict(tiny, images, [mode]), together, strict=True):
            for kind in ("accumulated", "local"):
                single, joint = (getattr(tap, kind)[mode.name] for tap in (one, all_modes))
                difference = np.abs(single - joint).max()
                assert difference <= FLOAT32_TAPS.limit * single.max(), (one.tap, mode.name)


@pytest.mark.parametrize("noisy", range(3))
def test_an_error_of_logits_goes_through_the_softmax(noisy: int) -> None:
    # Of one logit, to every probability.
    draw = np.random.default_rng(5)
    logits = np.tile([[0.0, 1.0, -0.5]], (20_000, 1))
    deviation = np.where(np.arange(3) == noisy, 1e-4, 0) * np.ones_like(logits)
    exact = softmax(logits)
    errors = softmax(logits + deviation * draw.standard_normal(logits.shape)) - exact
    predicted = through_softmax(logits, deviation.astype(np.float32), exact)
    ratios = np.sqrt(np.square(errors).mean(axis=0) / np.square(predicted).mean(axis=0))
    assert (ratios > 1 / ONE_TERM.limit).all()
    assert (ratios < ONE_TERM.limit).all()


def test_the_fewest_independent_errors_before_the_logits_are_counted(
    tiny: Checkpoint, batch: Batch
) -> None:
    images = batch(tiny)[:2]
    # One colour: few values in each channel.
    images[0] = images[0, :, :1, :1]
    logits, deviation, fewest = expect_logits(tiny, images)
    *before, last = predict(tiny, images)
    assert last.tap == tiny.configuration.taps[-1]
    assert np.array_equal(logits, last.values)
    assert np.array_equal(deviation, last.accumulated["float32"])
    counts = [tap.independent()["float32"] for tap in before]
    assert fewest == tuple(map(min, zip(*counts, strict=True)))
    assert 2 * fewest[0] < fewest[1]
    assert expect_logits(tiny, images, MODES["bfloat16"])[1].max() > 1e3 * deviation.max()


@pytest.mark.parametrize(
    ("below", "chosen", "share"),
    [
        (30, 1, Tolerance(UNIFORM_MANTISSAS.limit, "the difference to the largest logit rounds")),
        (0, 1, Tolerance(0.52, "three roundings: exp, the sum and the quotient")),
    ],
)
def test_a_softmax_rounds_as_predicted(below: float, chosen: int, share: Tolerance) -> None:
    draw = np.random.default_rng(0)
    logits = draw.uniform(-0.3, 0.3, (10_000, 3))
    logits[:, chosen] -= below * draw.uniform(1, 2, len(logits))
    single = logits.astype(np.float32)
    exact = softmax(single.astype(np.float64))
    errors = (rounding.softmax(single) - exact)[:, chosen]
    predicted = through_softmax(single.astype(np.float64), np.zeros_like(single), exact)[:, chosen]
    found = np.square(errors / predicted).mean() / share.limit
    assert 1 / MEASURED_VARIANCE.limit < found < MEASURED_VARIANCE.limit, (found, share.reason)


def test_a_filter_that_has_died_raises_no_alarm(tiny: Checkpoint, batch: Batch) -> None:
    # Its weights' squares are zero in float32.
    import torch_impl

    weight = np.array(tiny["block2_conv1.weight"])
    weight[0] *= np.float32(1e-24)
    small = tiny.with_tensors({"block2_conv1.weight": weight})
    dead = with_value(small, "block2_conv1.bias", 0, 0)
    model = torch_impl.VGG("tiny")
    torch_impl.load_checkpoint(model, dead)
    images = batch(tiny)
    assert_taps_hold(dead, images, torch_impl.run_with_taps(model, images))
