"""How many bytes a chunk has without its filters, found without HDF5."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pytest

from vgg16_weights.keras import hdf5_chunks

SHUFFLE, CHECKSUM = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
DEFLATE, LZF = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF
CONTENT: Final = bytes(range(100))


@pytest.mark.parametrize(
    ("stored", "filters", "size"),
    [
        (CONTENT, [], 100),
        (CONTENT, [SHUFFLE], 100),
        (CONTENT + bytes(4), [CHECKSUM], 100),
        (zlib.compress(CONTENT), [DEFLATE], 100),
        (zlib.compress(CONTENT) + bytes(4), [SHUFFLE, DEFLATE, CHECKSUM], 100),
        # No more is inflated than is asked for, and a filter of others tells nothing.
        (zlib.compress(CONTENT * 9), [DEFLATE], 128),
        (CONTENT, [32_000 + 1], 128),
    ],
)
def test_filters_are_taken_off_the_last_first(stored: bytes, filters: list[int], size: int) -> None:
    assert hdf5_chunks._unpacked_size(stored, filters, 128) == size


@pytest.mark.parametrize(
    ("stored", "size"),
    [
        (b"", 0),
        (b"\x00a", 1),
        (b"\x1f" + b"a" * 32, 32),
        # Three to eight bytes repeated from so far back.
        (b"\x00a\x20\x00", 1 + 3),
        (b"\x00a\xc0\x00", 1 + 8),
        # More, by a byte of its own.
        (b"\x00a\xe0\x00\x00", 1 + 9),
        (b"\x00a\xe0\xff\x00", 1 + 264),
        (b"\x00a\xe0\x05\x00\x01bc", 1 + 14 + 2),
    ],
)
def test_the_tokens_of_lzf_are_added_up(stored: bytes, size: int) -> None:
    assert hdf5_chunks._lzf_size(stored) == size
    assert hdf5_chunks._unpacked_size(stored, [LZF], 128) == size


@pytest.mark.parametrize(
    "values",
    [np.zeros((7, 40)), np.arange(280.0).reshape(7, 40), np.tile(np.arange(40.0), (7, 1))],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {"fletcher32": True},
        {"compression": "lzf", "shuffle": True, "fletcher32": True},
    ],
)
def test_what_hdf5_writes_is_whole(tmp_path: Path, values: Any, options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        made = file.create_dataset("w", data=values, chunks=(3, 16), **options)
        hdf5_chunks.check_chunks(made)
        hdf5_chunks.read_chunks(made)
