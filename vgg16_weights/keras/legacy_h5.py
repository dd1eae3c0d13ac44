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
from itertools import count, takewhile
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from vgg16_spec.architecture import Convolution, Dense
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.contents import BlocksOf, Contents
from vgg16_weights.keras import hdf5

_WHOLE_MODEL: Final = "model_weights"
_LAYERS, _WEIGHTS = "layer_names", "weight_names"
# What Keras 1 called a layer's arrays, when the published files were written.
_LETTERS: Final = {"weight": "W", "bias": "b"}
# More than any model has of names, and than they take.
_MOST_NAMES: Final = 4096
_MOST_BYTES: Final = 1 << 20


def lists_layers(path: Path) -> bool:
    """Whether an HDF5 file lists its layers by name, or holds a whole model that does."""
    try:
        with hdf5.opened(path) as file:
            return _listed(file) or hdf5.child(file, _WHOLE_MODEL) is not None
    except Exception:  # whatever HDF5 raises on a damaged file
        return False


def read(path: Path) -> Contents:
    """The arrays that an ``.h5`` of Keras before version 3 lists, views of the mapped file."""
    return hdf5.read(path, _arrays)


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file in the published ones' form.

    ``keras.applications.VGG16(weights=path)`` loads it where it is configuration D.
    """
    hdf5.write(path, _groups(checkpoint), checkpoint, blocks_of)


def _groups(checkpoint: Checkpoint) -> Iterator[hdf5.Group]:
    layers = checkpoint.configuration.layers
    yield hdf5.Group("/", {_LAYERS: _text([layer.name for layer in layers])})
    for layer in layers:
        parts = _LETTERS if isinstance(layer, Convolution | Dense) else {}
        arrays = {
            f"{layer.name}_{letter}_1:0": f"{layer.name}.{part}" for part, letter in parts.items()
        }
        yield hdf5.Group(layer.name, {}, arrays)
        yield hdf5.Group(layer.name, {_WEIGHTS: _text(list(arrays))})
    yield hdf5.manifest(checkpoint, np.bytes_)


def _text(names: list[str]) -> Array:
    return np.array(names, "S") if names else np.empty(0)


def _arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Canonical tensor name and array, of every array that the layers list."""
    root = file if _listed(file) else hdf5.child(file, _WHOLE_MODEL)
    if not isinstance(root, h5py.Group) or not _listed(root):
        raise ValueError(f"it has no attribute {_LAYERS!r}")
    for layer in _names(root, _LAYERS):
        group = hdf5.child(root, layer)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"it has no layer {layer!r}")
        for name in _names(group, _WEIGHTS):
            array = hdf5.array(group, name)
            yield f"{layer}.{'bias' if len(array.shape) == 1 else 'weight'}", array


def _listed(group: h5py.Group) -> bool:
    return _LAYERS in group.attrs or f"{_LAYERS}0" in group.attrs


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """The names in an attribute, or in its numbered parts where it was too large for one."""
    numbered = (f"{attribute}{number}" for number in count())
    parts = [attribute]
    if attribute not in group.attrs:
        parts = list(takewhile(group.attrs.__contains__, numbered))
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
        names += [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[part]]
    return names
