"""GridSample: values against ONNX Runtime, and the size of its errors."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.interpolation.grid_sample import grid_sample
from onnx_arbiter.operators.operation import Unsupported
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES
from parity_tests.support.operators import assert_predicted, measure, node_of


def draw(rng: np.random.Generator) -> list[Array]:
    """Maps, and places of which some are outside."""
    maps = rng.standard_normal((2, 3, 5, 8), np.float32)
    return [maps, rng.uniform(-1.3, 1.3, (2, 6, 7, 2)).astype(np.float32)]


@pytest.mark.parametrize("aligned", [0, 1])
def test_errors_have_the_predicted_size(aligned: int) -> None:
    node = node_of("GridSample", draw(np.random.default_rng(0)), align_corners=aligned)
    assert_predicted(measure(node, draw))


def test_a_place_on_an_element_moves_to_the_steeper_side() -> None:
    """Of 5, 1, 0 at the place of the 1, the slope from the left counts, by the scale of 1."""
    maps, place = np.array([[[[5.0, 1, 0]]]]), np.zeros((1, 1, 1, 2))
    inputs: list[Array | None] = [maps, place]
    operation = grid_sample(node_of("GridSample", inputs, align_corners=1), inputs)
    variances = np.array([1, 0], np.float32).reshape(1, 1, 1, 2)
    [carried] = operation.carried([None, variances])
    np.testing.assert_allclose(np.asarray(carried), 16, rtol=FLOAT32_VARIANCES.limit)


def test_errors_of_maps_count_by_the_squares_of_weights() -> None:
    maps, place = np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 1, 2))
    inputs: list[Array | None] = [maps, place]
    operation = grid_sample(node_of("GridSample", inputs, align_corners=1), inputs)
    [carried] = operation.carried([np.array([[[[1, 2], [4, 9]]]], np.float32), None])
    np.testing.assert_array_equal(np.asarray(carried), [[[[1.0]]]])  # 16 / 4²


def test_other_modes_are_refused() -> None:
    inputs: list[Array | None] = list(draw(np.random.default_rng(0)))
    with pytest.raises(Unsupported, match="border"):
        grid_sample(node_of("GridSample", inputs, padding_mode="border"), inputs)
