"""Blocks are an array's values in the order of its axes, whatever its memory looks like."""

from __future__ import annotations

import hashlib
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg16_spec.blocks import blocks, contiguous
from vgg16_spec.checkpoint.tensors import FLOATS, Tensor, float32_parts, is_finite


def distinct(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 23),
    st.integers(4, 4000),
    st.integers(16, 400),
)
def test_blocks_are_the_values_in_order(
    shape: list[int], order: int, block_bytes: int, tile_bytes: int
) -> None:
    array = distinct(*shape)
    orders = list(permutations(range(array.ndim)))
    view = array.transpose(orders[order % len(orders)])
    pieces = [piece.copy() for piece in blocks(view, block_bytes, tile_bytes)]
    assert all(
        piece.flags.c_contiguous and piece.ndim == 1
        for piece in blocks(view, block_bytes, tile_bytes)
    )
    assert np.array_equal(np.concatenate(pieces), view.ravel())
    assert max(piece.nbytes for piece in pieces) <= block_bytes


def test_pieces_that_are_gathered_take_the_memory_of_one() -> None:
    view = distinct(6, 5, 4).transpose(2, 1, 0)
    first, *others = blocks(view, 250)
    assert others
    assert all(np.shares_memory(piece, first) for piece in others)


def test_what_lies_in_order_is_not_copied() -> None:
    array = distinct(6, 5, 4)
    assert all(np.shares_memory(piece, array) for piece in blocks(array, 100))
    assert contiguous(array) is array


@pytest.mark.parametrize("tile_bytes", [1, 100, 1 << 17])
def test_a_copy_larger_than_a_tile_is_exact(tile_bytes: int) -> None:
    view = distinct(7, 13, 3, 10).transpose(3, 2, 0, 1)
    assert np.array_equal(contiguous(view, tile_bytes), view)
    assert contiguous(view, tile_bytes).flags.c_contiguous


@pytest.mark.parametrize("chunk_values", [1, 4, 6, 7, 12, 13])
def test_every_value_is_looked_at(chunk_values: int) -> None:
    values = np.ones(12, np.float32)
    assert is_finite(values, chunk_values)
    for place in range(12):
        for wrong in (np.nan, np.inf, -np.inf):
            values[place] = wrong
            assert not is_finite(values, chunk_values)
        values[place] = 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("chunk_values", [1, 4, 6, 7, 12, 13])
def test_a_block_becomes_float32_part_by_part(dtype: str, chunk_values: int) -> None:
    numbers = np.arange(12, dtype=np.float32) - 6
    block = numbers.astype(FLOATS[dtype]) if dtype != "bfloat16" else bfloat16(numbers)
    parts = list(float32_parts(block, chunk_values))
    assert np.array_equal(np.concatenate(parts), numbers)
    most = 12 if dtype == "float32" else chunk_values
    assert max(part.size for part in parts) <= most


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Values that bfloat16 holds exactly."""
    return (values.view(np.uint32) >> 16).astype("<u2").view(FLOATS["bfloat16"])


def test_a_tensor_is_read_in_its_own_shape_from_a_view_of_another() -> None:
    keras = distinct(2, 3, 4, 5)  # (H, W, C, out)
    tensor = Tensor((5, 24), "float32", lambda: keras.transpose(3, 2, 0, 1))
    expected = np.ascontiguousarray(keras.transpose(3, 2, 0, 1)).reshape(5, 24)
    assert np.array_equal(tensor.read(), expected)
    assert np.array_equal(
        np.concatenate([piece.copy() for piece in blocks(tensor.view(), 16)]), expected.ravel()
    )
    assert tensor.digest() == hashlib.sha256(expected.tobytes()).hexdigest()
