"""Keras's weights from before version 3 (``.h5``): the form of its published VGG16, both files.

The attribute ``layer_names`` of the root lists the model's layers; the group of each has an
attribute ``weight_names`` that lists its arrays: ``block1_conv1_W_1:0`` in the published files,
``block1_conv1/kernel:0`` or ``block1_conv1/kernel`` in younger ones. A model inside a model is one
layer, whose group lists the arrays of all its layers: those that are trained first, then the frozen
ones. Before Keras 1.0 a root with ``nb_layers`` has groups ``layer_0`` …, poolings counted, each
with ``nb_params`` arrays ``param_0`` …. A whole model has either under the group
``model_weights``. Sources: ``keras/src/legacy/saving/legacy_h5_format.py``, which loads such files
by the order of the layers, and ``save_weights`` of Keras 0.3's ``models.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import h5py
import numpy as np

from vgg16_spec.architecture import Convolution, Dense
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.contents import PARTS, BlocksOf, Contents, DataFormat
from vgg16_weights.keras import hdf5, hdf5_writing
from vgg16_weights.keras.kernels import Stored, are_oihw, kernels, stored
from vgg16_weights.keras.whole_model.listed_layers import ListedLayer, Place, foreign_kind
from vgg16_weights.keras.whole_model.model_config import described
from vgg16_weights.matching.layers import natural

_WHOLE_MODEL: Final = "model_weights"
_MODEL_CONFIG: Final = "model_config"
_LAYERS, _WEIGHTS = "layer_names", "weight_names"
_LAYER_COUNT, _ARRAY_COUNT = "nb_layers", "nb_params"
# What Keras 1 called a layer's arrays, when the published files were written.
_LETTERS: Final = {"weight": "W", "bias": "b"}
# More than any model has of names, and than they take.
_MOST_NAMES: Final = 4096
_MOST_BYTES: Final = 1 << 20
_LONGEST_NAME: Final = 256
_KERAS_1: Final = re.compile(r"[^/]*_W(?:_[0-9]+)?(?::[0-9]+)?")
_NUMBER: Final = re.compile(r"_?[0-9]+")


# The key of an array in `Contents`, and the array.
_Item: TypeAlias = tuple[str, h5py.Dataset]


class _Group(NamedTuple):
    """A layer of the file, or a model inside the model: the stored name of each array."""

    name: str
    arrays: dict[str, h5py.Dataset]


def lists_layers(file: h5py.File) -> bool:
    """Whether an HDF5 file lists its layers, or holds a whole model."""
    return _listed(file) or hdf5.child(file, _WHOLE_MODEL) is not None


def read(path: Path) -> Contents:
    """The arrays that an ``.h5`` of Keras before version 3 lists, views of the mapped file."""
    with hdf5.opened(path) as file:
        config, root = _config(file), _root(file)
        groups = list(_layers(root))
        foreign = list(_foreign(groups))
        contents = hdf5.contents_of(file, _found(file, root, groups, path.name), path)
    return described(contents, config, path, foreign)


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file in the published ones' form.

    ``keras.applications.VGG16(weights=path)`` loads it where it is configuration D.
    """
    hdf5_writing.write(path, _groups(checkpoint), checkpoint, blocks_of)


def _groups(checkpoint: Checkpoint) -> Iterator[hdf5_writing.Group]:
    layers = checkpoint.configuration.layers
    yield hdf5_writing.Group("/", {_LAYERS: _text([layer.name for layer in layers])})
    for layer in layers:
        parts = _LETTERS if isinstance(layer, Convolution | Dense) else {}
        arrays = {
            f"{layer.name}_{letter}_1:0": f"{layer.name}.{part}" for part, letter in parts.items()
        }
        yield hdf5_writing.Group(layer.name, {}, arrays)
        yield hdf5_writing.Group(layer.name, {_WEIGHTS: _text(list(arrays))})
    yield hdf5_writing.manifest(checkpoint, np.bytes_)


def _text(names: list[str]) -> Array:
    return np.array(names, "S") if names else np.empty(0)


def _root(file: h5py.File) -> h5py.Group:
    """The group that lists the layers. Raises ``ValueError`` where there is none."""
    root = file if _listed(file) else hdf5.child(file, _WHOLE_MODEL)
    if not isinstance(root, h5py.Group) or not _listed(root):
        raise ValueError(f"it has no attribute {_LAYERS!r}")
    return root


def _foreign(groups: Sequence[_Group]) -> Iterator[ListedLayer]:
    """The layers that a VGG does not have, recognised by Keras's default names."""
    kernels = [
        at for at, group in enumerate(groups) if any(a.ndim == 4 for a in group.arrays.values())
    ]
    first, last = kernels[:1] or [0], kernels[-1:] or [0]
    for at, group in enumerate(groups):
        if kind := foreign_kind(group.name):
            place: Place = "front" if [at] < first else "behind" if [at] > last else "among"
            yield ListedLayer(kind, group.name, place)


def _found(
    file: h5py.File, root: h5py.Group, groups: Sequence[_Group], file_name: str
) -> hdf5.Found:
    """Every array that the layers list, and how its kernels are held."""
    names = [name for group in groups for name in group.arrays]
    # Keras 1 kept the axes of kernels and of maps in one order; Keras 2 kept those of maps alone.
    is_keras_1 = _LAYER_COUNT in root.attrs or any(_is_keras_1(name) for name in names)
    is_oihw = are_oihw([array.shape for group in groups for array in group.arrays.values()])
    backend = (hdf5.text(root, "backend") or hdf5.text(file, "backend")).lower()
    if hdf5.MANIFEST in file.attrs:  # ours, whatever it is called
        backend = "tensorflow"
    held = kernels(
        are_oihw=is_oihw,
        backend=backend,
        names=names,
        file_name=file_name,
        is_keras_1=is_keras_1,
    )
    data_format: DataFormat | None = None
    if is_keras_1:
        data_format = "channels_first" if is_oihw else "channels_last"
    keyed = [_keyed(group) for group in groups]
    arrays = [item for items, _ in keyed for item in items]
    is_ordered = all(ordered for _, ordered in keyed)
    return hdf5.Found(arrays, is_ordered, data_format, held.steps, held.arrange)


def _is_keras_1(name: str) -> bool:
    return _KERAS_1.fullmatch(name) is not None


def _config(file: h5py.File) -> bytes | None:
    """A whole model's configuration; ``None`` if the file has none."""
    stated = file.attrs.get(_MODEL_CONFIG)
    if stated is None:
        return None
    return stated.encode() if isinstance(stated, str) else bytes(stated)


def _listed(group: h5py.Group) -> bool:
    return any(name in group.attrs for name in (_LAYERS, f"{_LAYERS}0", _LAYER_COUNT))


def _layers(root: h5py.Group) -> Iterator[_Group]:
    """The layers of a file in the model's order, those without arrays too."""
    is_numbered, left = _LAYER_COUNT in root.attrs, _MOST_NAMES
    layers = _numbered(root, _LAYER_COUNT, "layer_") if is_numbered else _names(root, _LAYERS)
    for layer in layers:
        group = hdf5.child(root, layer)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"it has no layer {layer!r}")
        names = _numbered(group, _ARRAY_COUNT, "param_") if is_numbered else _names(group, _WEIGHTS)
        left -= len(names)
        if left < 0:
            raise ValueError(f"it lists more than {_MOST_NAMES} arrays")
        if len(names) > len(set(names)):
            raise ValueError(f"the attribute {_WEIGHTS!r} of {group.name} lists a name twice")
        yield _Group(layer, {name: hdf5.array(group, name) for name in names})


def _keyed(group: _Group) -> tuple[list[_Item], bool]:
    """A layer's arrays by key, and whether they certainly stand in the network's order."""
    arrays = list(group.arrays.values())
    ranks = [array.ndim for array in arrays]
    found = [stored(name, rank) for name, rank in zip(group.arrays, ranks, strict=True)]
    if ranks in ([2], [4], [2, 1], [4, 1]):  # whatever they are called
        found = [Stored("", part) for part in PARTS[: len(ranks)]]
    elif len(set(found)) < len(found) or len({layer for layer, _ in found}) > 1:
        return _inner(group, found)
    keys = [f"{group.name}.{part}" for _, part in found]
    return list(zip(keys, arrays, strict=True)), True


def _inner(group: _Group, found: Sequence[Stored]) -> tuple[list[_Item], bool]:
    """The arrays of a model inside the model, by its layers' names, and whether in their order.

    Keras lists the layers that are trained before the frozen ones, so numbers count and not the
    list, where the layers have numbers.
    """
    layers: dict[str, list[_Item]] = {}
    number = 0
    for (layer, part), array in zip(found, group.arrays.values(), strict=True):
        number += part == "weight"
        path = layer.removeprefix(f"{group.name}/") or str(number)
        layers.setdefault(path, []).append((f"{group.name}/{path}.{part}", array))
    convolutions = [path for path, arrays in layers.items() if any(a.ndim == 4 for _, a in arrays)]
    others = [path for path in layers if path not in convolutions]
    ordered = sorted(convolutions, key=natural)
    # Without numbers the order of the list counts, as long as nothing shows that layers are frozen.
    is_listed = list(layers) == ordered + others
    if _are_numbered(others):
        others.sort(key=natural)
        is_listed = True
    arrays = [item for path in ordered + others for item in layers[path]]
    return arrays, _are_numbered(ordered) and is_listed


def _are_numbered(layers: list[str]) -> bool:
    """Whether names differ by their numbers alone: block1_conv1, block1_conv2; dense, dense_1."""
    return len({_NUMBER.sub("", layer) for layer in layers}) <= 1


def _numbered(group: h5py.Group, attribute: str, prefix: str) -> list[str]:
    """``layer_0`` … as many as an attribute says."""
    number = group.attrs.get(attribute)
    if not isinstance(number, int | np.integer) or not 0 <= number <= _MOST_NAMES:
        raise ValueError(
            f"the attribute {attribute!r} of {group.name} is not the number of its groups"
        )
    return [f"{prefix}{index}" for index in range(number)]


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
            raise ValueError(f"the attribute {part!r} of {group.name} is not a list of names")
        if not stored.shape[0]:  # HDF5 cannot tell the size of nothing
            continue
        if stored.get_storage_size() > _MOST_BYTES:
            raise ValueError(f"the attribute {part!r} of {group.name} is too large")
        added = [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[part]]
        if any(len(name) > _LONGEST_NAME for name in added):
            raise ValueError(f"the attribute {part!r} of {group.name} has names that are too long")
        names += added
    return names
