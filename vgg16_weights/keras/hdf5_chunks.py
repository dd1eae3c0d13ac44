"""HDF5 datasets that lie in chunks, found by their places instead of read by HDF5.

HDF5 gives zeros for a chunk that is not there, and a damaged index says so of any.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any, Final

import h5py
import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32
from vgg16_spec.checkpoint.tensors import mapped_view

# Far more than anyone cuts a tensor of VGG16 into.
_MOST: Final = 100_000


def chunk_places(dataset: h5py.Dataset, size: int) -> dict[Shape, int]:
    """First element -> first byte, of every chunk of an open dataset without filters.

    ``size`` is the number of bytes that the HDF5 file has.

    Raises ``ValueError`` unless there is each chunk once, whole and within the file.
    """
    name = str(dataset.name)
    if math.prod(dataset.chunks) > max(1, dataset.size):
        raise ValueError(f"{name} is in chunks larger than itself")
    steps = [range(0, n, step) for n, step in zip(dataset.shape, dataset.chunks, strict=True)]
    if math.prod(map(len, steps)) > _MOST:
        raise ValueError(f"{name} is in more than {_MOST} chunks")
    stored = FLOAT32.itemsize * math.prod(dataset.chunks)
    found: dict[Shape, int] = {}

    def note(chunk: Any) -> None:
        first = tuple(map(int, chunk.chunk_offset))
        whole = chunk.size == stored and 0 <= chunk.byte_offset <= size - stored
        if whole and first not in found and len(found) < _MOST:
            found[first] = int(chunk.byte_offset)

    dataset.id.chunk_iter(note)
    if set(found) != set(product(*steps)):
        raise ValueError(f"the chunks of {name} are not all there")
    return found


def joined(mapped: Array, base: int, places: dict[Shape, int], shape: Shape, cut: Shape) -> Array:
    """The array whose chunks, of shape ``cut``, lie in a mapped file from byte ``base`` on."""
    values = np.empty(shape, FLOAT32)
    for first, start in places.items():
        # The last chunk along an axis is stored whole and may reach over the array's end.
        target = values[tuple(slice(at, at + n) for at, n in zip(first, cut, strict=True))]
        inside = tuple(slice(n) for n in target.shape)
        target[...] = mapped_view(mapped, base + start, cut)[inside]
    return values
