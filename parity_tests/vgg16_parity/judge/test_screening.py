"""What a port may have computed is screened on one image, by errors that are too large to miss."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.right_gradients import NETWORK
from parity_tests.support.tolerances import FLOAT32_PARTS, FLOAT32_TAPS
from vgg16_parity.judge.diagnosis import _of_image, _roughly, _worst
from vgg16_parity.network.prediction import predict
from vgg16_spec.checkpoint.seeded import generate

IMAGES: Final = np.random.default_rng(0).standard_normal((2, *NETWORK.input_shape), np.float32)
# Two thousand roundoffs of the mode, and at most a fiftieth of the values.
SCREENED: Final = {"float32": 2000 / 2**24, "tf32": 0.02, "bfloat16": 0.02, "float16": 0.02}


@pytest.mark.parametrize("mode", MODES)
def test_errors_of_many_roundoffs_pass_the_screening(mode: str) -> None:
    checkpoint = generate(NETWORK, 1)
    exact = {tap.tap: tap for tap in predict(checkpoint, IMAGES, [MODES[mode]])}
    rough = dict(_roughly(checkpoint, IMAGES, MODES[mode]))
    assert list(rough) == list(exact)
    for name, tap in rough.items():
        right = exact[name].preactivation
        assert tap.relu == exact[name].relu
        assert tap.preactivation.dtype == np.float64
        largest = np.abs(right).max()
        assert np.abs(tap.preactivation - right).max() <= FLOAT32_TAPS.limit * largest
        size = SCREENED[mode] * np.sqrt(np.square(right).mean())
        assert tap.accumulated == pytest.approx(np.full(right.shape, size), FLOAT32_PARTS.limit)
        assert np.array_equal(tap.accumulated, tap.local)


def logits(values: list[list[float]]) -> ArbiterTap:
    sizes = np.ones(np.shape(values), np.float32)
    return ArbiterTap(np.array(values), False, sizes, sizes)


def test_the_image_with_the_largest_error_of_a_logit_is_screened() -> None:
    arbiter = {"predictions": logits([[1, 2, 3], [4, 5, 6], [7, 8, 9]])}
    # The largest sum of errors is another image's.
    found = {"predictions": np.array([[3, 4, 5], [4, 2, 6], [7, 8, 9]], np.uint8)}
    assert _worst(found, arbiter) == 1
    assert _worst({"predictions": np.zeros((3, 4))}, arbiter) == 0


def test_an_images_part_of_a_tap_is_as_many_of_its_rows() -> None:
    values = np.arange(24).reshape(6, 4)
    assert np.array_equal(_of_image(1, values, 3), values[2:4])
    assert np.array_equal(_of_image(5, values, 6), values[5:])
