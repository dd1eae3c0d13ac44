"""What is computed in blocks does not depend on their size, to the last row and column."""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.network.coverage import Exercised
from vgg16_parity.network.reference import multiply
from vgg16_parity.network.search import dark
from vgg16_spec.architecture import Convolution, Dense, configuration

TINY = configuration("tiny")
CONVOLUTION = next(layer for layer in TINY.weighted_layers if layer.name == "block2_conv2")
DENSE = next(layer for layer in TINY.weighted_layers if layer.name == "fc2")
RANDOM = np.random.default_rng(3)
# Of a convolution's 7 rows of maps, of a dense layer's 32 rows: one, a share that leaves a rest, a
# share that leaves none, all but one, all, and more.
ROWS = (1, 3, 5, 16, 31, 32, 33)


def weight(layer: Convolution | Dense) -> np.ndarray:
    return RANDOM.standard_normal(layer.weight_shape).astype(np.float32)


@pytest.mark.parametrize("rows", ROWS)
def test_a_dense_layer_is_computed_whole(rows: int) -> None:
    matrix, inputs = weight(DENSE), RANDOM.standard_normal((2, DENSE.weight_shape[1]))
    found = multiply(DENSE, matrix, inputs, rows=rows)
    expected = np.einsum("ni,oi->no", inputs, matrix.astype(np.float64))
    assert np.abs(found - expected).max() <= FLOAT64.limit * np.abs(expected).max()


@pytest.mark.parametrize("rows", range(1, 9))
def test_a_convolution_is_computed_whole(rows: int) -> None:
    kernels = weight(CONVOLUTION)
    channels, width = CONVOLUTION.weight_shape[1], 5
    images = RANDOM.standard_normal((2, channels, 7, width))
    windows = rows * channels * 9 * width
    found = multiply(CONVOLUTION, kernels, images, windows=windows)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = sum(
        np.einsum("nihw,oi->nohw", padded[:, :, y : y + 7, x : x + width], kernels[:, :, y, x])
        for y in range(3)
        for x in range(3)
    )
    assert np.abs(found - expected).max() <= FLOAT64.limit * np.abs(expected).max()


def exercised(positions: int = 2048) -> Exercised:
    """Of a convolution one output at the last position alone; of a dense layer some pairs."""
    found = Exercised(TINY)
    maps = np.zeros((1, CONVOLUTION.weight_shape[1], 7, 5), np.float32)
    passes = np.zeros((1, CONVOLUTION.weight_shape[0], 7, 5), bool)
    maps[0, 2, -1, -1] = 1
    passes[0, [0, -1], -1, -1] = True
    found.add_layer(CONVOLUTION.name, maps, passes, positions)
    outputs, inputs = DENSE.weight_shape
    lit = np.arange(inputs) % 3 == 0
    fires = np.isin(np.arange(outputs), (0, outputs // 2, outputs - 1))
    found.add_layer(DENSE.name, lit[np.newaxis].astype(np.float32), fires[np.newaxis])
    return found


@pytest.mark.parametrize("positions", [1, 4, 5, 12, 34, 35, 36])
def test_what_an_image_exercises_is_found_at_every_position(positions: int) -> None:
    assert exercised(positions).rows(CONVOLUTION.name).sum() == 2
    assert np.array_equal(
        exercised(positions).rows(CONVOLUTION.name), exercised().rows(CONVOLUTION.name)
    )


@pytest.mark.parametrize("rows", ROWS)
def test_what_is_exercised_is_counted_whole(rows: int) -> None:
    found = exercised()
    share = found.coverage(rows).tensors
    for layer in (CONVOLUTION, DENSE):
        assert share[f"{layer.name}.weight"] == found.rows(layer.name).mean()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("layer", [CONVOLUTION, DENSE], ids=["convolution", "dense"])
def test_what_is_dark_is_counted_whole(layer: Convolution | Dense, rows: int) -> None:
    unlit = ~exercised().rows(layer.name).reshape(*layer.weight_shape[:2], -1)
    outputs, inputs = dark(exercised(), layer, rows)
    assert np.allclose(outputs * unlit.size, unlit.sum(axis=(1, 2)))
    assert np.allclose(inputs * unlit.size, unlit.sum(axis=(0, 2)))
