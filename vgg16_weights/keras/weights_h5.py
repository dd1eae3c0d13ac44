"""Keras 3's own weight files (``.weights.h5``), read and written without building a model.

Neither needs Keras, only h5py. A layer lies in a group named after its class and its number within
the class (``layers/conv2d_3``), and a model inside the model in one with ``layers`` of its own. The
layer's name is an attribute of the group ``vars`` inside; before Keras 3.5 it is not stored, and
Keras 2.12 to 2.15 called the list ``_layer_checkpoint_dependencies``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import h5py

from vgg16_spec.architecture import (
    CONFIGURATIONS,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
)
from vgg16_spec.checkpoint import Checkpoint, Metadata
from vgg16_weights.contents import PARTS, BlocksOf, Contents
from vgg16_weights.keras import hdf5, hdf5_writing
from vgg16_weights.keras.whole_model.listed_layers import ListedLayer, Place, foreign_kind, judged
from vgg16_weights.matching.layers import natural

_PARTS: Final = {str(number): part for number, part in enumerate(PARTS)}
_BATCH_NORMALIZATION: Final = ("gamma", "beta", "moving_mean", "moving_variance")
_NORMALIZATION: Final = ("mean", "variance", "count")
# What Keras has called the list of a model's layers, and what is in a model beside them.
_LISTS: Final = ("layers", "_layer_checkpoint_dependencies")
_NO_LAYERS: Final = frozenset({"optimizer", "metrics", "seed_generator"})
_FEWEST: Final = min(len(known.convolutions) for known in CONFIGURATIONS.values())
_CONVOLUTION: Final = re.compile(r"conv2d(_[0-9]+)?")
# More than any layer of a VGG has.
_MOST_VARIABLES: Final = 64
_Path: TypeAlias = tuple[str, ...]
_CONTAINERS: Final[dict[type[Layer], str]] = {
    Convolution: "conv2d",
    MaxPooling: "max_pooling2d",
    Flatten: "flatten",
    Dense: "dense",
}


def read(path: Path) -> Contents:
    """The variables of every layer in a ``.weights.h5`` of Keras 3."""
    contents, foreign = variables(path)
    return judged(contents, foreign, path)


def variables(
    path: Path, base: int = 0, kept: Metadata | None = None
) -> tuple[Contents, list[ListedLayer]]:
    """The variables of every layer, and the layers that a VGG does not have.

    Args:
        path: the file that they are in.
        base: the byte of the file at which its HDF5 file begins.
        kept: metadata found elsewhere; those of the HDF5 file unless given.
    """
    with hdf5.opened(path, base) as file:
        held = {names[:-1] or names: group for names, group in _walk(file) if names[-1] == "vars"}
        contents = hdf5.contents_of(file, _arrays(file, held), path, base, kept)
        return contents, list(_foreign(held))


def has_variables(file: h5py.File) -> bool:
    """Whether an HDF5 file has layers' variables in it, as Keras 3 keeps them."""
    return any(path[-1] == "vars" for path, _ in _walk(file))


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file with the ``.weights.h5`` that both forms of the Keras model load."""
    described = [hdf5_writing.manifest(checkpoint), *groups(checkpoint.configuration)]
    hdf5_writing.write(path, described, checkpoint, blocks_of)


def groups(configuration: Configuration) -> Iterator[hdf5_writing.Group]:
    """What Keras's saving library writes for the layers of such a model."""
    numbers: Counter[str] = Counter()
    for layer in configuration.layers:
        kind = _CONTAINERS[type(layer)]
        container = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
        numbers[kind] += 1
        parts = _PARTS if isinstance(layer, Convolution | Dense) else {}
        tensors = {number: f"{layer.name}.{part}" for number, part in parts.items()}
        yield hdf5_writing.Group(f"layers/{container}/vars", {"name": layer.name}, tensors)


def _arrays(file: h5py.File, held: Mapping[_Path, h5py.Group]) -> hdf5.Found:
    """The variables of every layer of a model, and of the models inside it, by their groups.

    Raises ``ValueError`` where there are none.
    """
    if not held:
        raise ValueError(f"it is {hdf5.kind(file)} without weights of Keras")
    layers = {path: _parts(path, group) for path, group in held.items()}
    kernels = {path: parts["weight"].ndim for path, parts in layers.items() if "weight" in parts}
    convolutions = [path for path, rank in kernels.items() if rank == 4]
    others = [path for path in layers if path not in convolutions]
    found = [
        (f"{_name(path, held)}.{part}", array)
        for path in convolutions + others
        for part, array in layers[path].items()
    ]
    dense = [path for path in others if layers[path]]
    is_ordered = _are_numbered(convolutions) and _are_numbered(dense)
    return hdf5.Found(found, is_ordered and all(path in kernels for path in dense))


def _foreign(held: Mapping[_Path, h5py.Group]) -> Iterator[ListedLayer]:
    """The layers that a VGG does not have, by the names of their classes."""
    kernels = {path for path, group in held.items() if _holds_a_kernel(group)}
    lists = Counter(path[:-1] for path in kernels)
    # Where a list of layers has all the convolutions, what is elsewhere is not between them.
    are_whole = all(map(_is_listed, kernels)) and min(lists.values(), default=0) >= _FEWEST
    for path, group in held.items():
        name = hdf5.text(group, "name")
        kind = foreign_kind(path[-1], name)
        if path in kernels and _is_listed(path) and name not in ("", path[-1]):
            kind = kind or ("" if _CONVOLUTION.fullmatch(path[-1]) else path[-1])
        if kind:
            is_outside = are_whole and path[:-1] not in lists
            place: Place = "outside" if is_outside else "anywhere"
            yield ListedLayer(kind, _name(path, held), place)


def _is_listed(path: _Path) -> bool:
    """Whether a layer is in a model's list, where its group is named after its class."""
    return len(path) > 1 and path[-2] in _LISTS


def _holds_a_kernel(group: h5py.Group) -> bool:
    first = hdf5.child(group, "0")
    return isinstance(first, h5py.Dataset) and first.ndim == 4


def _walk(file: h5py.File) -> Iterator[tuple[_Path, h5py.Group]]:
    """The groups of a model; on Windows, Keras 2.12 put a path of several into one name."""
    for names, group in hdf5.groups(file):
        path = tuple("/".join(names).replace("\\", "/").split("/"))
        if not _NO_LAYERS.intersection(path):
            yield path, group


def _parts(path: _Path, group: h5py.Group) -> dict[str, h5py.Dataset]:
    """A layer's variables by what they are, as far as its class and their ranks tell."""
    if len(group) > _MOST_VARIABLES:
        raise ValueError(f"{group.name} has more than {_MOST_VARIABLES} variables")
    found = {number: hdf5.array(group, number) for number in sorted(group, key=natural)}
    names: Sequence[str] = ()
    if [array.ndim for array in found.values()] in ([2], [4], [2, 1], [4, 1]):
        names = PARTS
    elif len(found) == len(_BATCH_NORMALIZATION) and path[-1].startswith("batch_normalization"):
        names = _BATCH_NORMALIZATION
    elif len(found) == len(_NORMALIZATION) and path[-1].startswith("normalization"):
        names = _NORMALIZATION
    numbered = [str(number) for number in range(len(found))]
    if list(found) != numbered or not names:
        return found
    return dict(zip(names, found.values(), strict=False))


def _name(path: _Path, held: Mapping[_Path, h5py.Group]) -> str:
    """``layers/functional/layers/conv2d_3`` -> ``vgg16/block2_conv2``, if names are stored."""
    names = []
    for end, container in enumerate(path, 1):
        group = held.get(path[:end])
        if group is not None or container not in _LISTS:
            names.append((group and hdf5.text(group, "name")) or container)
    return "/".join(names)


def _are_numbered(paths: list[_Path]) -> bool:
    """Whether layers of one class are in one list, so that their numbers are their order."""
    return len({(*path[:-1], path[-1].rstrip("_0123456789")) for path in paths}) <= 1
