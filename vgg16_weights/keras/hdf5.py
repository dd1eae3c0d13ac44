"""HDF5 files whose datasets hold tensors as they are: mapped when read, streamed when written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Metadata, Tensor
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.layouts import canonical_view, keras_shape_to_canonical
from vgg16_weights.first_reading import check_readable

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# Our own attribute of the file's root, which no library looks at.
MANIFEST: Final = "vgg16"
# More than it ever takes.
_MANIFEST_LIMIT: Final = 1 << 16
# More than the largest tensor takes: a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 29


def keras_tensor(
    path: Path, dataset: h5py.Dataset, name: str, feature_shape: Shape, base: int = 0
) -> Tensor:
    """A dataset with Keras's layout as a canonical tensor.

    Args:
        path: the file that the dataset is in.
        dataset: of an open file; it may be closed before the tensor is read.
        name: the canonical tensor's.
        feature_shape: the last map's (C, H, W).
        base: the byte of the file at which the HDF5 file in it begins.

    A contiguous dataset is mapped; one in chunks is read by HDF5, each time.
    """
    read = reader(path, dataset, base)
    return Tensor(
        keras_shape_to_canonical(dataset.shape),
        str(dataset.dtype),
        lambda: canonical_view(name, read(), feature_shape),
    )


def reader(path: Path, dataset: h5py.Dataset, base: int = 0) -> Callable[[], Array]:
    """What gives a dataset's array later: a view into the mapped file where it can be one.

    Raises ``ValueError`` for values that are missing, in another file, or too many.
    """
    name = str(dataset.name)
    if dataset.is_virtual or dataset.external is not None:
        raise ValueError(f"{name} lies in another file")
    if dataset.dtype != FLOAT32:
        return partial(_refuse, f"{name} is {dataset.dtype}")
    if dataset.chunks is not None:
        _check_chunks(dataset)
        return partial(_read_by_hdf5, path, base, name)
    mapped = np.memmap(path, np.uint8, mode="r")
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{name} has no values")
    if base + offset + size(dataset.shape) > len(mapped):
        raise ValueError(f"{name} is not all there")
    return partial(mapped_view, mapped, base + offset, dataset.shape)


def _check_chunks(dataset: h5py.Dataset) -> None:
    """Raise ``ValueError`` for a dataset that is too large, or lacks a chunk: HDF5 gives zeros."""
    chunk = math.prod(dataset.chunks)
    if size(dataset.shape) > _MOST_BYTES or FLOAT32.itemsize * chunk > _MOST_BYTES:
        raise ValueError(f"{dataset.name} has more than {_MOST_BYTES} bytes")
    steps = zip(dataset.shape, dataset.chunks, strict=True)
    if dataset.id.get_num_chunks() != math.prod(-(-length // step) for length, step in steps):
        raise ValueError(f"the chunks of {dataset.name} are not all there")


def _read_by_hdf5(path: Path, base: int, name: str) -> Array:
    with opened(path, base) as file:
        values: Array = file[name][()]
        return values


def _refuse(problem: str) -> Array:
    raise ValueError(problem)


def child(group: h5py.Group, name: str) -> Any:
    """What a group has by this name, ``None`` where it has nothing.

    Raises ``ValueError`` for a link that leads elsewhere: into another file, or to another name.
    """
    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise ValueError(f"{group.name}/{name} is a link")
    return group.get(name)


@contextmanager
def opened(path: Path, base: int = 0) -> Iterator[h5py.File]:
    """Open the HDF5 file that begins at a byte of a file, after another process has read it.

    Raises what h5py does for a file that is damaged or of another kind, and ``ValueError`` for one
    that ends the other process.
    """
    check_readable(read_through, path, base)
    with _opened(path, base) as file:
        yield file


@contextmanager
def _opened(path: Path, base: int) -> Iterator[h5py.File]:
    with path.open("rb") as outer, h5py.File(_Inner(outer, base) if base else path) as file:
        yield file


def read_through(path: Path, base: int) -> None:
    """Read what `opened` gives access to: groups, attributes and values in chunks."""

    def read(_: str, item: h5py.HLObject) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.chunks and item.dtype == FLOAT32:
            with suppress(ValueError):  # `reader` refuses it if it is one of the weights
                _check_chunks(item)
                item[()]

    with _opened(path, base) as file:
        read("", file)
        file.visititems(read)


class _Inner:
    """A file that begins at a byte of another."""

    def __init__(self, outer: Any, base: int) -> None:
        self._outer, self._base = outer, base
        outer.seek(base)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._outer.seek(offset + (0 if whence else self._base), whence)) - self._base

    def tell(self) -> int:
        return int(self._outer.tell()) - self._base

    def read(self, size: int = -1) -> bytes:
        return bytes(self._outer.read(size))

    def readinto(self, target: Any) -> int:
        return int(self._outer.readinto(target))


def allocate_dataset(group: h5py.Group, name: str, shape: Shape) -> h5py.Dataset:
    """A contiguous float32 dataset that has its place in the file, and no values yet."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # so that the same values give the same bytes
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(FLOAT32)
    return h5py.Dataset(
        h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=properties, lcpl=links)
    )


def write_values(path: Path, offset: int, blocks: Iterable[Array]) -> None:
    """Write values into the room that a dataset has in a file that is closed."""
    with path.open("r+b") as file:
        file.seek(offset)
        for block in blocks:
            file.write(block.data)


def manifest(file: h5py.File) -> Metadata | None:
    """What our own attribute of an open file says; ``None`` without one of ours."""
    if MANIFEST not in file.attrs:
        return None
    if h5py.h5a.open(file.id, MANIFEST.encode()).get_storage_size() > _MANIFEST_LIMIT:
        return None
    kept = file.attrs[MANIFEST]
    return Metadata.from_json(kept) if isinstance(kept, bytes | str) else None


def size(shape: Shape) -> int:
    """The bytes that a float32 array takes."""
    return FLOAT32.itemsize * math.prod(shape)
