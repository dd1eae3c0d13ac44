"""Keras's weights from before version 3 (``.h5``): the form of its published VGG16, both files.

The attribute ``layer_names`` of the root lists the model's layers; the group of each has an
attribute ``weight_names`` that lists its arrays: ``block1_conv1_W_1:0`` in the published files,
``block1_conv1/kernel:0`` or ``block1_conv1/kernel`` in younger ones. So a layer's name says whose
an array is, and its rank which: a kernel has two or four axes, a bias one. A whole model in the
old form has the same under the group ``model_weights``. Source:
``keras/src/legacy/saving/legacy_h5_format.py``, which loads such files by the order of the layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from vgg16_spec.architecture import Configuration, Convolution, Dense
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import check_space, whole_file
from vgg16_spec.layouts import keras_shape, keras_shape_to_canonical, keras_view
from vgg16_weights.formats import Format, stated_or_default
from vgg16_weights.keras import hdf5
from vgg16_weights.layer_names import configuration_named

FORMAT: Final = Format(
    name="keras-h5", ending=".h5", title="weights or a model saved by Keras before version 3 (.h5)"
)

_WHOLE_MODEL: Final = "model_weights"
_LAYERS, _WEIGHTS = "layer_names", "weight_names"
# What Keras 1 called a layer's arrays, when the published files were written.
_PARTS: Final = {"weight": "W", "bias": "b"}
# More than any model has of names, and than they and the groups take in a file of ours.
_MOST_NAMES: Final = 4096
_MOST_BYTES: Final = 1 << 20


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether an HDF5 file lists its layers by name, or holds a whole model that does."""
    if not start.startswith(hdf5.SIGNATURE):
        return False
    try:
        with hdf5.opened(path) as file:
            return _listed(file, _LAYERS) or hdf5.child(file, _WHOLE_MODEL) is not None
    except Exception:  # whatever HDF5 raises on a damaged file
        return False


def read(path: Path) -> Checkpoint:
    """The weights in an ``.h5`` of Keras before version 3; tensors are views of the mapped file.

    The metadata are those that `write` left in it; without them the recipe is that of Keras's
    own weights, ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated or of another kind, or that has links,
    and one that lists every tensor that does not fit.
    """
    require_file(path, FORMAT.title)
    try:
        with hdf5.opened(path) as file:
            stored = dict(_datasets(file))
            shapes = {name: keras_shape_to_canonical(d.shape) for name, d in stored.items()}
            configuration = configuration_named(shapes, str(path))
            tensors = {
                name: hdf5.keras_tensor(path, dataset, name, configuration.feature_shape)
                for name, dataset in stored.items()
            }
            kept = hdf5.manifest(file)
    except BadInput:
        raise
    except Exception as error:  # whatever HDF5 raises on a damaged file
        raise BadInput(path, f"cannot be used ({error})", FORMAT.title) from error
    metadata = stated_or_default(kept, path, FORMAT, "caffe")
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint in the published files' form, block by block, with the metadata beside.

    ``keras.applications.VGG16(weights=path)`` loads it where it is configuration D.

    Raises ``BadInput`` when a value is not finite or the file cannot be written.
    """
    arranged = partial(keras_view, feature_shape=checkpoint.configuration.feature_shape)
    with whole_file(path) as temporary:
        # HDF5 crashes the process when a disk turns out to be full.
        check_space(temporary, _MOST_BYTES)
        with h5py.File(temporary, "w") as file:
            rooms = _rooms(file, checkpoint.configuration)
            file.attrs[hdf5.MANIFEST] = np.bytes_(checkpoint.metadata.to_json())
            offsets = {name: dataset.id.get_offset() for name, dataset in rooms.items()}
        with checkpoint.finite_blocks(arranged) as blocks_of:
            for name, offset in offsets.items():
                hdf5.write_values(temporary, offset, blocks_of(name))


def _rooms(file: h5py.File, configuration: Configuration) -> dict[str, h5py.Dataset]:
    """A file without its values; canonical tensor name -> the dataset that has room for it."""
    rooms: dict[str, h5py.Dataset] = {}
    file.attrs[_LAYERS] = _text([layer.name for layer in configuration.layers])
    for layer in configuration.layers:
        group = file.create_group(layer.name)
        names: list[str] = []
        if isinstance(layer, Convolution | Dense):
            for part, letter in _PARTS.items():
                name = f"{layer.name}.{part}"
                names.append(f"{layer.name}_{letter}_1:0")
                shape = keras_shape(configuration.weight_shapes[name])
                rooms[name] = hdf5.allocate_dataset(group, names[-1], shape)
        group.attrs[_WEIGHTS] = _text(names)
    return rooms


def _text(names: list[str]) -> Array:
    return np.array(names, "S") if names else np.empty(0)


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Canonical tensor name and array, of every array that the layers list."""
    root = file if _listed(file, _LAYERS) else hdf5.child(file, _WHOLE_MODEL)
    if not isinstance(root, h5py.Group) or not _listed(root, _LAYERS):
        raise ValueError(f"it has no attribute {_LAYERS!r}")
    found: set[str] = set()
    for layer in _names(root, _LAYERS):
        group = _member(root, layer)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"it has no layer {layer!r}")
        for array in _names(group, _WEIGHTS):
            dataset = _member(group, array)
            if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                raise ValueError(f"the array {array!r} of {layer!r} is not there")
            name = f"{layer}.{'bias' if len(dataset.shape) == 1 else 'weight'}"
            if name in found:
                raise ValueError(f"{name} is there twice")
            found.add(name)
            yield name, dataset


def _member(group: h5py.Group, name: str) -> Any:
    """What a group has at the end of a path; no part of it may be a link to elsewhere."""
    found: Any = group
    for part in name.split("/"):
        found = hdf5.child(found, part) if isinstance(found, h5py.Group) and part else None
    return found


def _listed(group: h5py.Group, attribute: str) -> bool:
    return attribute in group.attrs or f"{attribute}0" in group.attrs


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """The names in an attribute, or in its numbered parts where it was too large for one."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts or parts[0] != attribute:
        if (part := f"{attribute}{len(parts)}") not in group.attrs:
            break
        parts.append(part)
    if not parts:
        raise ValueError(f"{group.name} has no attribute {attribute!r}")
    names: list[str] = []
    for part in parts:
        stored = h5py.h5a.open(group.id, part.encode())
        if len(stored.shape) != 1 or stored.shape[0] + len(names) > _MOST_NAMES:
            raise ValueError(f"the attribute {part!r} of {group.name} is no list of names")
        if not stored.shape[0]:  # HDF5 cannot tell the size of nothing
            continue
        if stored.get_storage_size() > _MOST_BYTES:
            raise ValueError(f"the attribute {part!r} of {group.name} is too large")
        values = group.attrs[part]
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in values]
    return names
