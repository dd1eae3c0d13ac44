"""The arbiter is right: it agrees with plain loops and with both frameworks in float64.

Keras in float64 is checked in ``keras_checks``.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_impl
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate


def plain(checkpoint: Checkpoint, image: np.ndarray) -> dict[str, np.ndarray]:
    """The paper's definitions, one output pixel at a time: (3, H, W) -> every tap."""
    taps = {}
    values = image.astype(np.float64)
    for layer in checkpoint.configuration.layers:
        if isinstance(layer, Convolution):
            weight = checkpoint[f"{layer.name}.weight"].astype(np.float64)
            margin = (layer.kernel_size - 1) // 2
            padded = np.pad(values, ((0, 0), (margin, margin), (margin, margin)))
            result = np.empty(layer.output_shape(values.shape))
            for row, column in np.ndindex(result.shape[1:]):
                window = padded[
                    :, row : row + layer.kernel_size, column : column + layer.kernel_size
                ]
                result[:, row, column] = np.tensordot(weight, window, axes=3)
            result += checkpoint[f"{layer.name}.bias"].astype(np.float64)[:, None, None]
            values = np.where(result > 0, result, 0)
        elif isinstance(layer, MaxPooling):
            result = np.empty(layer.output_shape(values.shape))
            for row, column in np.ndindex(result.shape[1:]):
                window = values[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                result[:, row, column] = window.max(axis=(1, 2))
            values = result
        elif isinstance(layer, Flatten):
            values = np.array([v for channel in values for line in channel for v in line])
            continue
        elif isinstance(layer, Dense):
            weight = checkpoint[f"{layer.name}.weight"].astype(np.float64)
            bias = checkpoint[f"{layer.name}.bias"].astype(np.float64)
            values = np.array([row @ values for row in weight]) + bias
            values = np.where(values > 0, values, 0) if layer.relu else values
        taps[layer.name] = values
    return taps


def assert_close(taps: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(taps) == list(expected)
    for name, values in taps.items():
        assert values.dtype == np.float64, name
        assert values.shape == expected[name].shape, name
        error = np.abs(values - expected[name]).max()
        assert error <= FLOAT64.limit * np.abs(expected[name]).max(), name


def test_it_agrees_with_plain_loops_on_every_tap(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    taps = reference.run_with_taps(tiny, images)
    for index, image in enumerate(images):
        assert_close({name: values[index] for name, values in taps.items()}, plain(tiny, image))


def float64_model(checkpoint: Checkpoint) -> torch_impl.VGG:
    with torch.device("meta"):
        model = torch_impl.VGG(
            checkpoint.configuration.name, include_top=checkpoint.configuration.include_top
        )
    torch_impl.load_checkpoint(model, checkpoint)
    return model.double()


def test_it_agrees_with_pytorch_in_float64_on_every_tap(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    expected = torch_impl.run_with_taps(float64_model(tiny), images.astype(np.float64))
    assert_close(reference.run_with_taps(tiny, images), expected)


@pytest.mark.full
def test_it_agrees_with_pytorch_in_float64_at_full_size(full: Checkpoint, batch: Batch) -> None:
    images = batch(full)[:1]
    expected = torch_impl.run_with_taps(float64_model(full), images.astype(np.float64))
    assert_close(reference.run_with_taps(full, images), expected)


def test_1x1_convolutions_and_odd_sizes_agree_with_pytorch() -> None:
    # Column C at the smallest sizes that drop a last row and column at every pooling.
    features = generate(configuration("C", include_top=False), 3)
    images = np.random.default_rng(0).standard_normal((1, 3, 47, 63))
    expected = torch_impl.run_with_taps(float64_model(features), images)
    assert_close(reference.run_with_taps(features, images), expected)


def test_images_of_a_batch_do_not_touch_each_other(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    together = reference.run_with_taps(tiny, images)["predictions"]
    single = np.concatenate(
        [reference.run_with_taps(tiny, images[i : i + 1])["predictions"] for i in (0, 1)]
    )
    assert np.abs(together - single).max() <= FLOAT64.limit * np.abs(single).max()


def test_nan_comes_out_as_nan(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    images[0, 1, 30, 30] = np.nan
    logits = reference.run_with_taps(tiny, images)["predictions"]
    assert np.isnan(logits[0]).all()
    assert np.isfinite(logits[1]).all()


def test_a_wrong_size_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"\(3, 32, 64\), expected \(3, 64, 64\)"):
        reference.run_with_taps(tiny, np.zeros((1, 3, 32, 64)))
