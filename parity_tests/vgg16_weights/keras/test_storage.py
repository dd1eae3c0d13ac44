"""Every way in which HDF5 stores values: read bit for bit, or refused if some are not in the file.

HDF5 itself gives a fill value, zeros or whatever is in memory for those that are not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import vgg16_weights
from parity_tests.support.helpers import Command, same
from vgg16_spec.checkpoint import Checkpoint

Values = NDArray[np.float32]
Store = Callable[[h5py.File, Values], object]

FC1: Final = "layers/dense/vars/0"
# Neither side of fc1's kernel is a multiple of its own, so that chunks at the edges are cut.
CHUNKS: Final = (15, 7)
ROWS: Final = 30


def low(layout: int | None = None, **times: int) -> Callable[[h5py.File, Values], h5py.Dataset]:
    """A dataset made with properties that h5py's own functions do not have."""

    def store(file: h5py.File, values: Values) -> h5py.Dataset:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if layout is None:
            properties.set_chunk(CHUNKS)
        else:
            properties.set_layout(layout)
        if times:
            properties.set_alloc_time(times["allocated"])
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(values.shape)
        kind = h5py.h5t.py_create(np.dtype(np.float32))
        return h5py.Dataset(h5py.h5d.create(file.id, FC1.encode(), kind, space, dcpl=properties))

    return store


def written(make: Callable[[h5py.File, Values], h5py.Dataset]) -> Store:
    def store(file: h5py.File, values: Values) -> None:
        make(file, values)[...] = values

    return store


def chunked(**options: Any) -> Store:
    return lambda file, values: file.create_dataset(FC1, data=values, chunks=CHUNKS, **options)


def partly(rows: slice, **options: Any) -> Store:
    """In chunks, of which those of some rows alone are written."""

    def store(file: h5py.File, values: Values) -> None:
        made = file.create_dataset(FC1, values.shape, "f4", chunks=CHUNKS, **options)
        made[rows] = values[rows]

    return store


def cut(pack: Callable[[bytes], bytes], share: float = 0.5, **options: Any) -> Store:
    """In chunks, the last of which has a share of its bytes before they are packed."""

    def store(file: h5py.File, values: Values) -> None:
        made = file.create_dataset(FC1, data=values, chunks=CHUNKS, **options)
        sides = zip(values.shape, CHUNKS, strict=True)
        place = tuple((length - 1) // step * step for length, step in sides)
        whole = np.zeros(CHUNKS, np.float32)
        kept = values[tuple(slice(start, None) for start in place)]
        whole[tuple(map(slice, kept.shape))] = kept
        made.id.write_direct_chunk(place, pack(whole.tobytes()[: int(share * whole.nbytes)]))

    return store


def checked(stored: bytes) -> bytes:
    """With Fletcher's checksum behind, as HDF5 computes it."""
    low = high = 0
    for (word,) in struct.iter_unpack(">H", stored):
        low = (low + word) % 0xFFFF
        high = (high + low) % 0xFFFF
    return stored + struct.pack("<I", high << 16 | low)


def lzf(stored: bytes) -> bytes:
    """As LZF's runs of bytes that do not repeat."""
    runs = [stored[start : start + 32] for start in range(0, len(stored), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def resized(file: h5py.File, values: Values) -> None:
    made = file.create_dataset(FC1, values.shape, "f4", chunks=CHUNKS, maxshape=(None, None))
    made.resize(ROWS, axis=0)
    made[...] = values[:ROWS]
    made.resize(len(values), axis=0)


def shrunk(file: h5py.File, values: Values) -> None:
    larger = (len(values) + 40, values.shape[1])
    made = file.create_dataset(FC1, larger, "f4", chunks=CHUNKS, maxshape=(None, None))
    made[: len(values)] = values
    made.resize(len(values), axis=0)


def external(file: h5py.File, values: Values) -> None:
    raw = Path(file.filename).with_name("raw")
    raw.write_bytes(values.tobytes())
    file.create_dataset(FC1, values.shape, "f4", external=[(str(raw), 0, values.nbytes)])


def virtual(file: h5py.File, values: Values) -> None:
    file["aside"] = values
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[:ROWS] = h5py.VirtualSource(file["aside"])[:ROWS]
    file.create_virtual_dataset(FC1, layout)


EARLY: Final = {"allocated": h5py.h5d.ALLOC_TIME_EARLY}
LATE: Final = {"allocated": h5py.h5d.ALLOC_TIME_LATE}
READ: Final[dict[str, Store]] = {
    "contiguous": lambda file, values: file.create_dataset(FC1, data=values),
    "contiguous, allocated late": written(low(h5py.h5d.CONTIGUOUS, **LATE)),
    "chunks": chunked(),
    "chunks, allocated early": written(low(**EARLY)),
    "chunks that were more": shrunk,
    "chunks, gzip": chunked(compression="gzip"),
    "chunks, gzip, shuffled": chunked(compression="gzip", shuffle=True),
    "chunks, LZF": chunked(compression="lzf"),
    "chunks, LZF, shuffled, checksums": chunked(compression="lzf", shuffle=True, fletcher32=True),
    "chunks, checksums": chunked(fletcher32=True),
}
SOME_MISSING: Final = f"/{FC1} lacks some of its chunks"
CUT: Final = f"/{FC1} lacks some of a chunk"
REFUSED: Final[dict[str, tuple[Store, str]]] = {
    "contiguous, never written": (
        lambda file, values: file.create_dataset(FC1, values.shape, "f4"),
        f"/{FC1} has no values",
    ),
    "contiguous, a fill value": (
        lambda file, values: file.create_dataset(FC1, values.shape, "f4", fillvalue=0.5),
        f"/{FC1} has no values",
    ),
    "contiguous, never written, not to be filled": (
        low(h5py.h5d.CONTIGUOUS, **LATE),
        f"/{FC1} has no values",
    ),
    "no chunk": (partly(slice(0)), SOME_MISSING),
    "the first chunks": (partly(slice(ROWS)), SOME_MISSING),
    "all chunks but the first": (partly(slice(ROWS, None)), SOME_MISSING),
    "all chunks but the last": (partly(slice(-CHUNKS[0])), SOME_MISSING),
    "some chunks, a fill value": (partly(slice(ROWS), fillvalue=0.5), SOME_MISSING),
    "some chunks, gzip": (partly(slice(ROWS), compression="gzip"), SOME_MISSING),
    "some chunks, allocated late": (low(**LATE), SOME_MISSING),
    "chunks that were fewer": (resized, SOME_MISSING),
    "half a chunk": (cut(bytes), CUT),
    "half a chunk, gzip": (cut(zlib.compress, compression="gzip"), CUT),
    "half a chunk, shuffled": (cut(zlib.compress, compression="gzip", shuffle=True), CUT),
    "half a chunk, LZF": (cut(lzf, compression="lzf"), CUT),
    "half a chunk, checksums": (cut(checked, fletcher32=True), CUT),
    "all but a number of a chunk, checksums": (cut(checked, share=0.991, fletcher32=True), CUT),
    "compact": (written(low(h5py.h5d.COMPACT)), f"/{FC1} has its values in its header"),
    "compact, never written": (low(h5py.h5d.COMPACT), f"/{FC1} has its values in its header"),
    "external": (external, f"/{FC1} is stored in another file"),
    "virtual": (virtual, f"/{FC1} is stored in another file"),
}


def stored(tiny: Checkpoint, folder: Path, store: Store) -> Path:
    """Keras's file of weights, with fc1's kernel stored in a way of its own."""
    path = folder / "w.weights.h5"
    vgg16_weights.write(tiny, path, "keras-weights-h5")
    with h5py.File(path, "r+") as file:
        values = file[FC1][()]
        del file[FC1]
        store(file, values)
    return path


@pytest.mark.parametrize("how", READ)
def test_values_that_are_in_the_file_are_read(tiny: Checkpoint, tmp_path: Path, how: str) -> None:
    assert same(vgg16_weights.read(stored(tiny, tmp_path, READ[how])), tiny)


@pytest.mark.parametrize("how", REFUSED)
def test_values_that_are_not_all_in_the_file_are_refused(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, how: str
) -> None:
    store, problem = REFUSED[how]
    path = stored(tiny, tmp_path, store)
    before = {entry.name for entry in tmp_path.iterdir()}
    for command in (
        ("port", path, tmp_path / "ported.safetensors"),
        ("weights", "verify", path, tiny.file),
        ("weights", "verify", tiny.file, path),
    ):
        done = vgg16(*command)
        assert (done.status, done.out) == (2, "")
        assert problem in done.err.splitlines()[-1]
    assert {entry.name for entry in tmp_path.iterdir()} == before
