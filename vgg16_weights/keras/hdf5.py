"""HDF5 files whose datasets hold tensors as they are: mapped when read, filled when written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import h5py
import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Metadata, Tensor
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.files.atomic import check_space
from vgg16_spec.layouts import keras_shape
from vgg16_weights.contents import BlocksOf, Contents, by_name
from vgg16_weights.first_reading import check_readable

# Our own attribute of the file's root, which no library looks at, and more than it ever takes.
MANIFEST: Final = "vgg16"
_MANIFEST_LIMIT: Final = 1 << 20
_MOST_IN_HEADER: Final = 60_000
# More than the largest tensor takes: a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 29
# More than the groups and attributes of the largest configuration take.
_OVERHEAD: Final = 1 << 20


class Group(NamedTuple):
    """A group to write.

    Attributes:
        path: where it is.
        attributes: what it says.
        arrays: name in the group -> canonical name of the tensor; they come after the attributes.
    """

    path: str
    attributes: Mapping[str, Any]
    arrays: Mapping[str, str] = MappingProxyType({})


def manifest(checkpoint: Checkpoint, text: type[str] | type[np.bytes_] = str) -> Group:
    """Our own attribute of the file's root, as a text that is of a type where it is short enough.

    HDF5 keeps texts of ``np.bytes_`` in the header of a group, which has room for 64 KiB.
    """
    stated = checkpoint.metadata.to_json()
    kind = text if len(stated) <= _MOST_IN_HEADER else str
    return Group("/", {MANIFEST: kind(stated)})


def read(
    path: Path,
    find: Callable[[h5py.File], Iterable[tuple[str, h5py.Dataset]]],
    base: int = 0,
    kept: Metadata | None = None,
) -> Contents:
    """What is in an HDF5 file, as far as ``find`` finds tensors in it.

    Args:
        path: the file that it is in.
        find: gives the canonical name and the dataset of each tensor of an open file.
        base: the byte of the file at which it begins.
        kept: metadata found elsewhere; those of the HDF5 file unless given.
    """
    with opened(path, base) as file:
        tensors = by_name((name, _tensor(path, array, base)) for name, array in find(file))
        return Contents(tensors, kept or _manifest(file))


def write(path: Path, groups: Iterable[Group], checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file that exists with groups and the values of their arrays."""
    # HDF5 crashes the process when a disk turns out to be full.
    check_space(path, FLOAT32.itemsize * checkpoint.configuration.parameters() + _OVERHEAD)
    with h5py.File(path, "w") as file:
        offsets = allocate(file, groups, checkpoint.configuration.weight_shapes)
    with path.open("r+b") as values:
        for name, offset in offsets.items():
            values.seek(offset)
            for block in blocks_of(name):
                values.write(block.data)


def allocate(
    file: h5py.File, groups: Iterable[Group], shapes: Mapping[str, Shape]
) -> dict[str, int]:
    """Write everything but the values.

    Returns canonical tensor name -> the byte of the file at which its values belong.
    """
    rooms: dict[str, h5py.Dataset] = {}
    for path, attributes, arrays in groups:
        group = file.require_group(path)
        group.attrs.update(attributes)
        for name, tensor in arrays.items():
            rooms[tensor] = _allocate_dataset(group, name, keras_shape(shapes[tensor]))
    return {name: room.id.get_offset() for name, room in rooms.items()}


def _allocate_dataset(group: h5py.Group, name: str, shape: Shape) -> h5py.Dataset:
    """A contiguous float32 dataset that has its place in the file, and no values yet."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # so that the same values give the same bytes
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(FLOAT32)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=properties))


def child(group: h5py.Group, path: str) -> Any:
    """What a group has at the end of a path, ``None`` where it has nothing.

    Raises ``ValueError`` for a link that leads elsewhere: into another file, or to another name.
    """
    found: Any = group
    for name in path.split("/"):
        link = found.get(name, getlink=True) if name and isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{found.name}/{name} is a link")
        found = found.get(name)
    return found


def array(group: h5py.Group, path: str) -> h5py.Dataset:
    """The dataset at the end of a path. Raises ``ValueError`` where there is none."""
    found = child(group, path)
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise ValueError(f"{group.name}/{path} is no array")
    return found


@contextmanager
def opened(path: Path, base: int = 0) -> Iterator[h5py.File]:
    """Open the HDF5 file that begins at a byte of a file, after another process has read it.

    Raises what h5py does for a file that is damaged or of another kind, and ``ValueError`` for one
    that ends the other process.
    """
    check_readable(read_through, path, base)
    with _opened(path, base) as file:
        yield file


def read_through(path: Path, base: int) -> None:
    """Read what `opened` gives access to: groups, attributes and values in chunks."""

    def read(_: str, item: h5py.HLObject) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.chunks and item.dtype == FLOAT32:
            with suppress(ValueError):  # it is refused if it is one of the weights
                _check_chunks(item)
                item[()]

    with _opened(path, base) as file:
        read("", file)
        file.visititems(read)


@contextmanager
def _opened(path: Path, base: int) -> Iterator[h5py.File]:
    with path.open("rb") as outer, h5py.File(_Inner(outer, base) if base else path) as file:
        yield file


class _Inner:
    """A file that begins at a byte of another."""

    def __init__(self, outer: Any, base: int) -> None:
        self._outer, self._base = outer, base
        self.read, self.readinto = outer.read, outer.readinto
        outer.seek(base)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._outer.seek(offset + (0 if whence else self._base), whence)) - self._base

    def tell(self) -> int:
        return int(self._outer.tell()) - self._base


def _tensor(path: Path, dataset: h5py.Dataset, base: int) -> Tensor:
    """A dataset as a tensor: a view into the mapped file, or read by HDF5 each time.

    It may be closed before. Raises ``ValueError`` for values that are missing, in another file, or
    too many.
    """
    name, shape = str(dataset.name), dataset.shape
    if dataset.is_virtual or dataset.external is not None:
        raise ValueError(f"{name} lies in another file")
    view: Callable[[], Array] = partial(_read_by_hdf5, path, base, name)
    if dataset.dtype == FLOAT32 and dataset.chunks is not None:
        _check_chunks(dataset)
    elif dataset.dtype == FLOAT32:
        mapped, offset = np.memmap(path, np.uint8, mode="r"), dataset.id.get_offset()
        if offset is None:
            raise ValueError(f"{name} has no values")
        if base + offset + FLOAT32.itemsize * math.prod(shape) > len(mapped):
            raise ValueError(f"{name} is not all there")
        view = partial(mapped_view, mapped, base + offset, shape)
    return Tensor(shape, str(dataset.dtype), view)


def _check_chunks(dataset: h5py.Dataset) -> None:
    """Raise ``ValueError`` for chunks that are too large, missing (read as zeros) or unreadable."""
    for count in (math.prod(dataset.shape), math.prod(dataset.chunks)):
        if FLOAT32.itemsize * count > _MOST_BYTES:
            raise ValueError(f"{dataset.name} has more than {_MOST_BYTES} bytes")
    steps = zip(dataset.shape, dataset.chunks, strict=True)
    if dataset.id.get_num_chunks() != math.prod(-(-length // step) for length, step in steps):
        raise ValueError(f"the chunks of {dataset.name} are not all there")
    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, *_, name = properties.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            what = name.decode(errors="replace") or code
            raise ValueError(f"{dataset.name} needs HDF5's filter {what}, which is not installed")


def _read_by_hdf5(path: Path, base: int, name: str) -> Array:
    with opened(path, base) as file:
        values: Array = file[name][()]
        return values


def _manifest(file: h5py.File) -> Metadata | None:
    """What our own attribute of an open file says; ``None`` without one of ours."""
    if MANIFEST not in file.attrs:
        return None
    if h5py.h5a.open(file.id, MANIFEST.encode()).get_storage_size() > _MANIFEST_LIMIT:
        return None
    kept = file.attrs[MANIFEST]
    is_text = isinstance(kept, bytes | str) and len(kept) <= _MANIFEST_LIMIT
    return Metadata.from_json(kept) if is_text else None
