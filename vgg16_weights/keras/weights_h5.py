"""Keras 3's own weight files (``.weights.h5``), read and written without building a model.

Neither needs Keras, only h5py. A layer lies in a group named after its class and its number within
the class (``layers/conv2d_3``); the layer's own name is an attribute of the group ``vars`` inside,
and that is what is gone by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import h5py

from vgg16_spec.architecture import Configuration, Convolution, Dense, Flatten, Layer, MaxPooling
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.contents import PARTS, BlocksOf, Contents
from vgg16_weights.keras import hdf5

_PARTS: Final = {str(number): part for number, part in enumerate(PARTS)}
_CONTAINERS: Final[dict[type[Layer], str]] = {
    Convolution: "conv2d",
    MaxPooling: "max_pooling2d",
    Flatten: "flatten",
    Dense: "dense",
}


def read(path: Path) -> Contents:
    """The variables of every layer in a ``.weights.h5`` of Keras 3."""
    return hdf5.read(path, arrays)


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file with the ``.weights.h5`` that both forms of the Keras model load."""
    described = [hdf5.manifest(checkpoint), *groups(checkpoint.configuration)]
    hdf5.write(path, described, checkpoint, blocks_of)


def groups(configuration: Configuration) -> Iterator[hdf5.Group]:
    """What Keras's saving library writes for the layers of such a model."""
    numbers: Counter[str] = Counter()
    for layer in configuration.layers:
        kind = _CONTAINERS[type(layer)]
        container = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
        numbers[kind] += 1
        parts = _PARTS if isinstance(layer, Convolution | Dense) else {}
        tensors = {number: f"{layer.name}.{part}" for number, part in parts.items()}
        yield hdf5.Group(f"layers/{container}/vars", {"name": layer.name}, tensors)


def arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Canonical tensor name and array, of every layer's variables."""
    layers = hdf5.child(file, "layers")
    if not isinstance(layers, h5py.Group):
        raise ValueError("an HDF5 file without the group 'layers'")
    for container in layers:
        variables = hdf5.child(layers, f"{container}/vars")
        if not isinstance(variables, h5py.Group) or not len(variables):
            continue
        if "name" not in variables.attrs:
            raise ValueError(f"layers/{container} does not say its layer's name")
        for number in variables:
            name = f"{variables.attrs['name']}.{_PARTS.get(number, number)}"
            yield name, hdf5.array(variables, number)
