"""Writes HDF5 files in two steps: groups and space for each tensor, then the values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import h5py
import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import FLOAT32, Checkpoint
from vgg16_spec.files.atomic import check_space
from vgg16_spec.layouts import keras_shape
from vgg16_weights.contents import BlocksOf
from vgg16_weights.keras.hdf5 import MANIFEST

# More than the groups and attributes of the largest configuration take.
_OVERHEAD: Final = 1 << 20
# The header of a group has room for 64 KiB.
_MOST_IN_HEADER: Final = 60_000


class Group(NamedTuple):
    """A group to write.

    Attributes:
        path: where it is.
        attributes: its attributes.
        arrays: name in the group -> canonical name of the tensor; written after the attributes.
    """

    path: str
    attributes: Mapping[str, Any]
    arrays: Mapping[str, str] = MappingProxyType({})


def manifest(checkpoint: Checkpoint, text: type[str] | type[np.bytes_] = str) -> Group:
    """The file's root with this project's attribute, which holds the metadata.

    The text is of the given type if it is short enough: HDF5 stores ``np.bytes_`` in the header of
    the group, where space is limited.
    """
    stated = checkpoint.metadata.to_json()
    kind = text if len(stated) <= _MOST_IN_HEADER else str
    return Group("/", {MANIFEST: kind(stated)})


def write(path: Path, groups: Iterable[Group], checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill an existing file with groups and the values of their arrays."""
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
    """A contiguous float32 dataset with space in the file but no values yet."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # so that the same values give the same bytes
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(FLOAT32)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=properties))
