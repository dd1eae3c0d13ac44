"""HDF5 files whose datasets hold tensors as they are: mapped when read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Metadata, Tensor
from vgg16_weights.contents import Contents, DataFormat, by_name
from vgg16_weights.first_reading import check_readable
from vgg16_weights.keras.hdf5_chunks import check_chunks, read_chunks
from vgg16_weights.matching.layers import natural

# Our own attribute of the file's root, which no library looks at, and more than it ever takes.
MANIFEST: Final = "vgg16"
_MANIFEST_LIMIT: Final = 1 << 20
# More than any model has. A group can be inside itself.
_MOST_GROUPS: Final = 4096
_MOST_DEPTH: Final = 32
_MOST_TEXT: Final = 256
# What Keras 3 calls by an attribute, since HDF5 has no such type.
_BFLOAT16: Final = np.dtype("V2")


class Found(NamedTuple):
    """The tensors in an HDF5 file.

    Attributes:
        arrays: key and dataset of each, as in `Contents`.
        is_ordered: whether they stand in the order of the network's layers.
        data_format: in what order maps are flattened for fc1, where the file says so.
        steps: what reading decided.
        arrange: turns a stored kernel into a view in the format's order of axes.
    """

    arrays: Iterable[tuple[str, h5py.Dataset]]
    is_ordered: bool = False
    data_format: DataFormat | None = None
    steps: tuple[str, ...] = ()
    arrange: Callable[[Array], Array] | None = None


def contents_of(
    file: h5py.File, found: Found, path: Path, base: int = 0, kept: Metadata | None = None
) -> Contents:
    """What is in an open HDF5 file; its tensors outlive it.

    Args:
        file: as `opened` gives it.
        found: its tensors.
        path: the file that it is in.
        base: the byte of that file at which it begins.
        kept: metadata found elsewhere; those of the HDF5 file unless given.
    """
    tensors = by_name((name, _tensor(path, array, base)) for name, array in found.arrays)
    if arrange := found.arrange:
        tensors = {name: _arranged(tensor, arrange) for name, tensor in tensors.items()}
    kept = kept or _manifest(file)
    return Contents(tensors, kept, found.is_ordered, found.data_format, steps=found.steps)


def _arranged(tensor: Tensor, arrange: Callable[[Array], Array]) -> Tensor:
    """A kernel whose view is arranged; any other tensor as it is."""
    if len(tensor.shape) != 4:
        return tensor
    shape = arrange(np.broadcast_to(np.float32(0), tensor.shape)).shape
    return Tensor(shape, tensor.dtype, lambda: arrange(tensor.view()))


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
        raise ValueError(f"{group.name}/{path} is not an array")
    return found


def groups(file: h5py.File) -> Iterator[tuple[tuple[str, ...], h5py.Group]]:
    """Every group of a file with its path, those of a group in the order of their numbers.

    Raises ``ValueError`` for a link that leads elsewhere, and for more groups than a model has.
    """
    left: list[tuple[tuple[str, ...], h5py.Group]] = [((), file)]
    for _ in range(_MOST_GROUPS):
        if not left:
            return
        path, group = left.pop()
        if len(path) > _MOST_DEPTH:
            raise ValueError(f"its groups are nested more than {_MOST_DEPTH} deep")
        if len("/".join(path)) > _MOST_TEXT:
            raise ValueError(f"it has a path of more than {_MOST_TEXT} characters")
        yield path, group
        inner = [(name, child(group, name)) for name in sorted(group, key=natural, reverse=True)]
        left += [((*path, name), found) for name, found in inner if isinstance(found, h5py.Group)]
    raise ValueError(f"it has more than {_MOST_GROUPS} groups")


def kind(file: h5py.File) -> str:
    """What another program's HDF5 file is, as far as its own marks say."""
    if "_NCProperties" in file.attrs or "_nc3_strict" in file.attrs:
        return "a NetCDF file"
    if any("MATLAB_class" in child(file, name).attrs for name in file):
        return "a MATLAB 7.3 file"
    return "an HDF5 file"


def text(group: h5py.Group, attribute: str) -> str:
    """A short text in an attribute; empty where there is none."""
    if attribute not in group.attrs:
        return ""
    stored = h5py.h5a.open(group.id, attribute.encode())
    if stored.shape or stored.get_storage_size() > _MOST_TEXT:
        return ""
    value = group.attrs[attribute]
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return value if isinstance(value, str) and len(value) <= _MOST_TEXT else ""


@contextmanager
def opened(path: Path, base: int = 0) -> Iterator[h5py.File]:
    """Open the HDF5 file that begins at a byte of a file, after another process has read it.

    Raises what h5py does for a file that is damaged or of another kind, and ``ValueError`` for one
    that ends the other process.
    """
    check_readable(read_through, path, base)
    with _opened(path, base) as file:
        yield file


def read_through(path: str, base: int) -> None:
    """Read what `opened` gives access to: groups, attributes and values in chunks."""

    def read(_: str, item: h5py.HLObject) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.chunks and _holds_numbers(item):
            try:
                check_chunks(item)
            except ValueError:  # it is refused if it is one of the weights
                return
            read_chunks(item)

    with _opened(Path(path), base) as file:
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

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._outer.seek(offset + (0 if whence else self._base), whence)) - self._base

    def tell(self) -> int:
        return int(self._outer.tell()) - self._base


def _tensor(path: Path, dataset: h5py.Dataset, base: int) -> Tensor:
    """A dataset as a tensor: a view into the mapped file, or read by HDF5 each time.

    It may be closed before. Raises ``ValueError`` for values that are missing, in another file, or
    too many.
    """
    name, shape, dtype = str(dataset.name), dataset.shape, dataset.dtype
    if dataset.is_virtual or dataset.external is not None:
        raise ValueError(f"{name} is stored in another file")
    view: Callable[[], Array] = partial(_read_by_hdf5, path, base, name)
    if not _holds_numbers(dataset):
        return Tensor(shape, str(dtype), view)
    if dataset.chunks is not None:
        check_chunks(dataset)
    else:
        if dataset.id.get_create_plist().get_layout() == h5py.h5d.COMPACT:
            # Whether they were ever written cannot be told.
            raise ValueError(f"{name} has its values in its header")
        mapped, offset = np.memmap(path, np.uint8, mode="r"), dataset.id.get_offset()
        if offset is None:
            raise ValueError(f"{name} has no values")
        start, end = base + offset, base + offset + dtype.itemsize * math.prod(shape)
        if end > len(mapped):
            raise ValueError(f"{name} is incomplete")
        if dtype.kind == "f" and dtype.isnative:
            view = partial(_mapped, mapped[start:end], dtype, shape)
    return Tensor(shape, "bfloat16" if dtype == _BFLOAT16 else dtype.name, view)


def _holds_numbers(dataset: h5py.Dataset) -> bool:
    """Whether values are floating point, of a type of HDF5 or Keras's bfloat16."""
    if dataset.dtype == _BFLOAT16:
        return text(dataset, "dtype") == "bfloat16"
    return bool(dataset.dtype.kind == "f")


def _mapped(values: Array, dtype: np.dtype[Any], shape: Shape) -> Array:
    return values.view(dtype).reshape(shape)


def _read_by_hdf5(path: Path, base: int, name: str) -> Array:
    with opened(path, base) as file:
        values: Array = file[name][()]
    if values.dtype == _BFLOAT16:  # the upper half of a float32
        return (values.view("<u2").astype("<u4") << 16).view(FLOAT32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _manifest(file: h5py.File) -> Metadata | None:
    """What our own attribute of an open file says; ``None`` without one of ours."""
    if MANIFEST not in file.attrs:
        return None
    if h5py.h5a.open(file.id, MANIFEST.encode()).get_storage_size() > _MANIFEST_LIMIT:
        return None
    kept = file.attrs[MANIFEST]
    is_text = isinstance(kept, bytes | str) and len(kept) <= _MANIFEST_LIMIT
    return Metadata.from_json(kept) if is_text else None
