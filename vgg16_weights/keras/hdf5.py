"""HDF5 files whose datasets hold tensors as they are: mapped when read, streamed when written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from vgg16_weights.keras.hdf5_chunks import chunk_places, joined
from vgg16_weights.keras.hdf5_heaps import check_survivable

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# Our own attribute of the file's root, which no library looks at.
MANIFEST: Final = "vgg16"
# More than it ever takes.
_MANIFEST_LIMIT: Final = 1 << 16


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

    A contiguous dataset is mapped; one in chunks is put together, each time.
    """
    read = reader(path, dataset, base)
    return Tensor(
        keras_shape_to_canonical(dataset.shape),
        str(dataset.dtype),
        lambda: canonical_view(name, read(), feature_shape),
    )


def reader(path: Path, dataset: h5py.Dataset, base: int = 0) -> Callable[[], Array]:
    """What gives a dataset's array later: a view into the mapped file where it can be one.

    Raises ``ValueError`` for values that are not there or in another file, and for those that a
    filter stands before: a few bytes could take all memory, since HDF5 inflates whatever a chunk
    holds.
    """
    name = str(dataset.name)
    if dataset.is_virtual or dataset.external is not None:
        raise ValueError(f"{name} lies in another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise ValueError(f"{name} is compressed or filtered")
    if dataset.dtype != FLOAT32:
        return partial(_refuse, f"{name} is {dataset.dtype}")
    mapped = np.memmap(path, np.uint8, mode="r")
    if dataset.chunks is not None:
        places = chunk_places(dataset, len(mapped) - base)
        return partial(joined, mapped, base, places, dataset.shape, dataset.chunks)
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{name} has no values")
    if base + offset + size(dataset.shape) > len(mapped):
        raise ValueError(f"{name} is not all there")
    return partial(mapped_view, mapped, base + offset, dataset.shape)


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
    """Open the HDF5 file that begins at a byte of a file.

    Raises what h5py does for a file that is damaged or none of HDF5's, and ``ValueError`` for one
    that HDF5 itself does not survive.
    """
    check_survivable(path, base)
    if not base:
        with h5py.File(path) as file:
            yield file
    else:
        with path.open("rb") as outer, h5py.File(_Inner(outer, base)) as file:
            yield file


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
