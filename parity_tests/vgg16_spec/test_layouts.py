"""Moves between layouts put every element where its definition says, and undo each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg16_spec import layouts

sides = st.integers(1, 5)


def distinct(*shape: int) -> np.ndarray:
    """An array in which every element differs, so that any wrong move shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(sides, sides, sides, sides)
def test_convolutions_move_element_by_element(
    out: int, inputs: int, height: int, width: int
) -> None:
    kernel = distinct(out, inputs, height, width)
    moved = layouts.oihw_to_hwio(kernel)
    assert moved.shape == (height, width, inputs, out)
    for o, i, h, w in np.ndindex(kernel.shape):
        assert moved[h, w, i, o] == kernel[o, i, h, w]
    assert np.array_equal(layouts.hwio_to_oihw(moved), kernel)


@given(sides, sides)
def test_dense_layers_move_element_by_element(out: int, inputs: int) -> None:
    kernel = distinct(out, inputs)
    moved = layouts.keras_view("fc2.weight", kernel, ())
    for o, i in np.ndindex(kernel.shape):
        assert moved[i, o] == kernel[o, i]
    assert np.array_equal(layouts.canonical_view("fc2.weight", moved, ()), kernel)


@given(st.sampled_from([1, 3, 64, 130]), sides, sides, sides)
def test_fc1_moves_element_by_element(out: int, channels: int, height: int, width: int) -> None:
    kernel = distinct(out, channels * height * width)
    moved = layouts.keras_view("fc1.weight", kernel, (channels, height, width))
    assert moved.shape == (height, width, channels, out)
    for c, h, w in np.ndindex(channels, height, width):
        assert np.array_equal(moved[h, w, c], kernel[:, (c * height + h) * width + w])
    back = layouts.canonical_view("fc1.weight", moved, (channels, height, width))
    assert back.shape == (out, channels, height, width)
    assert np.array_equal(back.reshape(kernel.shape), kernel)


@given(sides, sides, sides, sides)
def test_fc1_gives_the_same_products_on_either_flattening(
    out: int, channels: int, height: int, width: int
) -> None:
    maps = distinct(2, channels, height, width)
    kernel = distinct(out, channels * height * width)
    chw = maps.reshape(2, -1) @ kernel.T
    moved = layouts.canonical_to_keras("fc1.weight", kernel, (channels, height, width))
    hwc = layouts.contiguous(layouts.nchw_to_nhwc(maps)).reshape(2, -1) @ moved
    assert np.array_equal(chw, hwc)  # whole numbers: float32 is exact


@given(sides, sides, sides, sides)
def test_images_move_element_by_element(
    images: int, channels: int, height: int, width: int
) -> None:
    batch = distinct(images, channels, height, width)
    moved = layouts.nchw_to_nhwc(batch)
    for n, c, h, w in np.ndindex(batch.shape):
        assert moved[n, h, w, c] == batch[n, c, h, w]
    assert np.array_equal(layouts.nhwc_to_nchw(moved), batch)


TENSORS = pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("block1_conv1.weight", (5, 3, 2, 4)),
        ("block1_conv1.bias", (5,)),
        ("fc1.weight", (7, 3 * 2 * 4)),
        ("fc2.weight", (7, 5)),
    ],
)


@TENSORS
def test_a_tensor_comes_back_from_keras_layout_as_it_was(name: str, shape: tuple[int, ...]) -> None:
    values = distinct(*shape)
    moved = layouts.canonical_to_keras(name, values, (3, 2, 4))
    assert layouts.keras_shape_to_canonical(moved.shape) == shape
    assert np.array_equal(layouts.keras_to_canonical(name, moved, (3, 2, 4)), values)


@TENSORS
def test_views_have_the_values_of_the_moves_and_copy_nothing(
    name: str, shape: tuple[int, ...]
) -> None:
    values = distinct(*shape)
    view = layouts.keras_view(name, values, (3, 2, 4))
    moved = layouts.canonical_to_keras(name, values, (3, 2, 4))
    assert moved.shape == layouts.keras_shape(shape)
    assert np.shares_memory(view, values)
    assert np.array_equal(view.reshape(moved.shape), moved)
    kept = layouts.contiguous(moved)
    back = layouts.canonical_view(name, kept, (3, 2, 4))
    assert np.shares_memory(back, kept)
    assert np.array_equal(back.reshape(shape), values)
    # There and back, nothing has moved.
    again = layouts.keras_view(name, back, (3, 2, 4))
    assert again.flags.c_contiguous
    assert np.shares_memory(again, kept)
