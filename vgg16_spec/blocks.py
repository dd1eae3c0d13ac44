"""Arrays laid out in the order of their axes, a block at a time and a cache's worth at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

# Large enough that a permuted tensor of VGG16 takes few passes over its source: four for fc1, whose
# order is another in Keras. With half as much they cost a third more time. And no more than half of
# the 0.25 GB that a conversion may take.
BLOCK_BYTES: Final = 1 << 27
# Source and target of a tile fit into a processor's cache together.
TILE_BYTES: Final = 1 << 17


def blocks(
    view: Array, block_bytes: int = BLOCK_BYTES, tile_bytes: int = TILE_BYTES
) -> Iterator[Array]:
    """The values of an array in the order of its axes, as flat pieces.

    None has more than ``block_bytes``, and a copy is made of tiles of ``tile_bytes`` at most.

    A piece that is already in this order is not copied. Any other is gathered in memory that the
    next piece reuses, so that no more than one piece of a mapped file is held.
    """
    if view.nbytes <= block_bytes or not view.ndim:
        yield contiguous(view, tile_bytes).reshape(-1)
        return
    rows = block_bytes // (view.nbytes // len(view))
    if not rows:
        for row in view:
            yield from blocks(row, block_bytes, tile_bytes)
        return
    # Equal shares: a short last block would cost as many passes over the source as a full one.
    rows = -(-len(view) // -(-len(view) // rows))
    pieces = (view[start : start + rows] for start in range(0, len(view), rows))
    if view.flags.c_contiguous:
        yield from (piece.reshape(-1) for piece in pieces)
        return
    memory = np.empty((rows, *view.shape[1:]), view.dtype)
    for piece in pieces:
        laid_out = memory[: len(piece)]
        _copy(piece, laid_out, tile_bytes)
        yield laid_out.reshape(-1)


def contiguous(view: Array, tile_bytes: int = TILE_BYTES) -> Array:
    """The same values, laid out in memory in the order of the axes (a copy only if needed)."""
    if view.flags.c_contiguous:
        return view
    laid_out = np.empty(view.shape, view.dtype)
    _copy(view, laid_out, tile_bytes)
    return laid_out


def _copy(source: Array, target: Array, tile_bytes: int = TILE_BYTES) -> None:
    """Copy tile by tile, each over a copy in the order of the source's memory.

    NumPy goes along the target's axes. Where these are 2**n bytes apart in the source, as fc1's
    are, what is read shares a few lines of the cache, and is fetched again for each element.
    """
    if source.nbytes <= tile_bytes or source.size < 2:
        target[...] = source.copy(order="K")
        return
    axis = int(np.argmax(source.shape))
    half = source.shape[axis] // 2
    before = (slice(None),) * axis
    for part in (slice(None, half), slice(half, None)):
        _copy(source[(*before, part)], target[(*before, part)], tile_bytes)
