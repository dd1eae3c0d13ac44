"""Datasets of HDF5 that are stored in chunks: whether every value is in the file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from itertools import product
from typing import Final

import h5py

# More than the largest tensor takes: a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 29
# To unpack a chunk, HDF5 takes up to three times its size: less than a gigabyte.
_MOST_PACKED: Final = 1 << 28
# Fletcher's checksum follows the chunk, in so many bytes.
_CHECKSUM: Final = 4
# Bytes that are inflated at once.
_PIECE: Final = 1 << 20
# LZF's tokens below this copy bytes; all others repeat earlier ones.
_LZF_RUNS: Final = 1 << 5
# A repetition of this length is longer: the next byte says by how much.
_LZF_LONG: Final = 7


def check_chunks(dataset: h5py.Dataset) -> None:
    """Raise ``ValueError`` for chunks that are too large, missing (read as zeros) or unreadable."""
    for count in (math.prod(dataset.shape), math.prod(dataset.chunks)):
        if dataset.dtype.itemsize * count > _MOST_BYTES:
            raise ValueError(f"{dataset.name} has more than {_MOST_BYTES} bytes")
    properties = dataset.id.get_create_plist()
    chunk = dataset.dtype.itemsize * math.prod(dataset.chunks)
    if properties.get_nfilters() and chunk > _MOST_PACKED:
        raise ValueError(f"{dataset.name} has packed chunks of more than {_MOST_PACKED} bytes")
    steps = zip(dataset.shape, dataset.chunks, strict=True)
    if dataset.id.get_num_chunks() != math.prod(-(-length // step) for length, step in steps):
        raise ValueError(f"{dataset.name} lacks some of its chunks")
    for number in range(properties.get_nfilters()):
        code, *_, name = properties.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            what = name.decode(errors="replace") or code
            raise ValueError(f"{dataset.name} needs HDF5's filter {what}, which is not installed")


def read_chunks(dataset: h5py.Dataset) -> None:
    """Have HDF5 unpack every chunk, one at a time: a value of each is read.

    Raises ``ValueError`` for a chunk of fewer bytes than its values take, for whose rest HDF5 gives
    whatever is in memory.
    """
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    size = dataset.dtype.itemsize * math.prod(dataset.chunks)
    steps = zip(dataset.shape, dataset.chunks, strict=True)
    for place in product(*(range(0, length, step) for length, step in steps)):
        chunk = dataset.id.get_chunk_info_by_coord(place)
        applied = [
            code for number, code in enumerate(filters) if not chunk.filter_mask >> number & 1
        ]
        there = chunk.size
        if applied:
            there = _unpacked_size(dataset.id.read_direct_chunk(place)[1], applied, size)
        if there < size:
            raise ValueError(f"{dataset.name} lacks some of a chunk")
        dataset[place]


def _unpacked_size(stored: bytes, filters: Sequence[int], size: int) -> int:
    """How many bytes a chunk has without its filters; ``size`` where that cannot be told."""
    there, left = memoryview(stored), list(filters)
    while left:
        match left.pop():
            case h5py.h5z.FILTER_SHUFFLE:
                pass
            case h5py.h5z.FILTER_FLETCHER32:
                there = there[:-_CHECKSUM]
            case h5py.h5z.FILTER_DEFLATE if not set(left) - {h5py.h5z.FILTER_SHUFFLE}:
                return _inflated_size(there, size)
            case h5py.h5z.FILTER_LZF:
                return _lzf_size(bytes(there))
            case _:
                return size
    return len(there)


def _inflated_size(stored: memoryview, size: int) -> int:
    """The same of what zlib packed, ``size`` at most; piece by piece, since it may be large."""
    decompressor, there = zlib.decompressobj(), 0
    for start in range(0, len(stored), _PIECE):
        if there == size:
            break
        there += len(decompressor.decompress(stored[start : start + _PIECE], size - there))
    return there


def _lzf_size(stored: bytes) -> int:
    """How many bytes LZF's tokens stand for: runs of bytes as they are, and repetitions."""
    position = size = 0
    while position < len(stored):
        token = stored[position]
        if token < _LZF_RUNS:
            position += token + 2
            size += token + 1
            continue
        length = token >> 5
        if length == _LZF_LONG and position + 1 < len(stored):
            length += stored[position + 1]
            position += 1
        position += 2
        size += length + 2
    return size
