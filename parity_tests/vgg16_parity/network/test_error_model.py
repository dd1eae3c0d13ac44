"""The error model predicts what rounding does, term by term."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.limits import LIMITS, Tolerance
from onnx_arbiter.numeric_modes import MODES, Mode
from parity_tests.support.helpers import Batch, assert_taps_hold
from parity_tests.support.tolerances import FLOAT32_TAPS, MODEL_FIT, ONE_TERM
from vgg16_parity.network import prediction, reference
from vgg16_parity.network.error_model import ErrorVariance
from vgg16_parity.network.prediction import predict, predict_logits, through_softmax
from vgg16_spec.architecture import MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint, Tensor
from vgg16_spec.checkpoint.seeded import generate

FLOAT32 = MODES["float32"]


def spread(checkpoint: Checkpoint, images: np.ndarray, mode: str = "float32") -> list[float]:
    """The rms of the predicted standard deviations of every tap."""
    return [
        float(np.sqrt(np.square(tap.accumulated[mode], dtype=np.float64).mean()))
        for tap in predict(checkpoint, images, [MODES[mode]])
    ]


@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["either sign", "one sign"])
def test_a_sums_own_rounding_is_predicted(offset: float) -> None:
    # The same sums, one product after the other in float32, and exactly.
    length, count = 500, 4000
    draw = np.random.default_rng(3)
    weights = (draw.standard_normal((count, length)) + offset).astype(np.float32)
    inputs = np.abs(draw.standard_normal((count, length))).astype(np.float32)
    products = weights * inputs
    rounded = np.cumsum(products, axis=1, dtype=np.float32)[:, -1]
    exact = (weights.astype(np.float64) * inputs).sum(axis=1)
    squares = np.square(weights.astype(np.float64) * inputs).sum(axis=1)
    unit = FLOAT32.sums**2 / 3
    predicted = unit * (squares * (1 + length / 6) + exact**2 * length / 3)
    ratio = np.sqrt(np.square(rounded - exact).mean() / predicted.mean())
    assert 1 / MODEL_FIT.limit < ratio < MODEL_FIT.limit


def test_the_error_of_what_a_layer_reads_goes_through_its_weights(
    tiny: Checkpoint, batch: Batch
) -> None:
    # Noise far above float32's rounding on the images, through the float64 arbiter.
    images = batch(tiny)[:1].astype(np.float64)
    draw = np.random.default_rng(4)
    size = 1e-3
    exact = reference.run_with_taps(tiny, images)
    noisy = [
        reference.run_with_taps(tiny, images + size * draw.standard_normal(images.shape))
        for _ in range(60)
    ]

    class Noise(ErrorVariance):
        """Starts from the noise instead of from exact images."""

        def __init__(self, mode: Mode, images: np.ndarray) -> None:
            super().__init__(mode, images)
            self.accumulated = np.full(images.shape, size**2, np.float32) / np.float32(
                FLOAT32.sums**2 / 3
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "ErrorVariance", Noise)
        predicted = list(predict(tiny, images))
    # Further on, errors of neighbours are no longer independent, which the model takes them for.
    for tap in predicted[:2]:
        errors = np.stack([run[tap.tap] - exact[tap.tap] for run in noisy])
        own = np.where(tap.before > 0, tap.accumulated["float32"], 0).astype(np.float64)
        ratio = np.sqrt(np.square(errors).mean() / np.square(own).mean())
        assert 1 / ONE_TERM.limit < ratio < ONE_TERM.limit, tap.tap


def test_the_first_layers_error_is_its_own(tiny: Checkpoint, batch: Batch) -> None:
    first = next(predict(tiny, batch(tiny)))
    assert np.array_equal(first.accumulated["float32"], first.local["float32"])


def test_alone_a_layer_is_predicted_less_than_after_all_others(
    tiny: Checkpoint, batch: Batch
) -> None:
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
            rows, columns = np.indices(pooled.before.shape[2:])
            for image, channel in np.ndindex(pooled.before.shape[:2]):
                before, deviation = read.before[image, channel], read.accumulated["float32"]
                for row, column in zip(rows.flat, columns.flat, strict=True):
                    window = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    won = before[window].argmax()
                    assert pooled.before[image, channel, row, column] == before[window].flat[won]
                    expected = deviation[image, channel][window].flat[won]
                    assert pooled.accumulated["float32"][image, channel, row, column] == expected


def test_nothing_of_the_error_passes_where_relu_cuts_far_below_zero(batch: Batch) -> None:
    # A first layer whose outputs are all cut: the second reads exact zeros.
    seeded = generate(configuration("tiny"))
    tensors = {name: Tensor.of(np.array(seeded[name])) for name in seeded}
    tensors["block1_conv1.bias"] = Tensor.of(np.full(4, -1e3, np.float32))
    dead = Checkpoint(seeded.configuration, seeded.metadata, tensors)
    images = batch(seeded)
    second = list(predict(dead, images))[1]
    bias = np.abs(dead["block1_conv2.bias"]).max()
    length = dead["block1_conv2.weight"][0].size
    own = FLOAT32.sums * np.sqrt(length / 9) * bias
    assert second.accumulated["float32"].max() <= own * (1 + MODEL_FIT.limit * FLOAT32.sums)


@pytest.mark.parametrize(
    ("mode", "least", "most"),
    # Unit roundoffs against float32's: 2^13 for 11 bits, 2^16 for 8, sums aside.
    [("tf32", 2**9, 2**14), ("float16", 2**9, 2**14), ("bfloat16", 2**12, 2**17)],
)
def test_modes_with_fewer_bits_predict_that_much_more(
    tiny: Checkpoint, batch: Batch, mode: str, least: float, most: float
) -> None:
    images = batch(tiny)
    for fewer, single in zip(spread(tiny, images, mode), spread(tiny, images), strict=True):
        assert least < fewer / single < most


def test_the_smallest_numbers_are_not_predicted_exact(tiny: Checkpoint) -> None:
    # Nothing in, nothing out: a runtime may still flush what is smaller than a normal number.
    tensors = {name: Tensor.of(np.zeros_like(tiny[name])) for name in tiny}
    nothing = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    for mode in MODES.values():
        for tap in predict(nothing, np.zeros((1, 3, 64, 64), np.float32), [mode]):
            assert (tap.accumulated[mode.name] >= np.float32(mode.smallest)).all()


def test_several_modes_at_once_are_each_as_alone(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    together = list(predict(tiny, images, list(MODES.values())))
    for mode in MODES.values():
        for one, all_modes in zip(predict(tiny, images, [mode]), together, strict=True):
            for kind in ("accumulated", "local"):
                alone, beside = (getattr(tap, kind)[mode.name] for tap in (one, all_modes))
                apart = np.abs(alone - beside).max()
                assert apart <= FLOAT32_TAPS.limit * alone.max(), (one.tap, mode.name)


def test_an_error_of_logits_goes_through_the_softmax(tiny: Checkpoint, batch: Batch) -> None:
    from vgg16_spec.logits import softmax

    logits, _ = predict_logits(tiny, batch(tiny))
    logits *= 3
    draw = np.random.default_rng(5)
    deviation = (1e-4 * (1 + draw.random(logits.shape))).astype(np.float32)
    exact = softmax(logits)
    noisy = [softmax(logits + deviation * draw.standard_normal(logits.shape)) for _ in range(400)]
    observed = np.sqrt(np.square(np.stack(noisy) - exact).mean(axis=0))
    ratios = observed / through_softmax(logits, deviation, exact)
    assert 1 / ONE_TERM.limit < np.median(ratios) < ONE_TERM.limit
    # And in float32, its own rounding is within it.
    single = softmax(logits.astype(np.float32)).astype(np.float32)
    own = through_softmax(logits, np.zeros_like(deviation), exact)
    assert np.sqrt(np.square((single - exact) / own).mean()) < LIMITS.ratio.limit


def test_every_tolerance_has_a_reason() -> None:
    from parity_tests.support import tolerances

    entries = [
        value
        for module in (prediction, tolerances)
        for value in vars(module).values()
        if isinstance(value, Tolerance)
    ]
    entries += [LIMITS.ratio, LIMITS.deviations]
    assert len(entries) >= 5
    assert all(len(entry.reason) > 40 for entry in entries)


def test_a_filter_that_has_died_raises_no_alarm(tiny: Checkpoint, batch: Batch) -> None:
    # Its weights' squares are zero in float32.
    import torch_impl

    tensors = {name: Tensor.of(np.array(tiny[name])) for name in tiny}
    tensors["block2_conv1.weight"].read()[0] *= np.float32(1e-24)
    tensors["block2_conv1.bias"].read()[0] = 0
    dead = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    model = torch_impl.VGG("tiny")
    torch_impl.load_checkpoint(model, dead)
    images = batch(tiny)
    assert_taps_hold(dead, images, torch_impl.run_with_taps(model, images))
