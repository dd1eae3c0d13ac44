"""Keras 3's own weight files (``.weights.h5``), read and written without building a model.

Neither needs Keras, only h5py. A layer lies in a group named after its class and its number within
the class (``layers/conv2d_3``); the layer's own name is an attribute of the group ``vars`` inside,
and that is what is gone by.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

import h5py

from vgg16 import layouts
from vgg16.architecture import Convolution, Dense, Flatten, Layer, MaxPooling, Shape
from vgg16.atomic import check_space, whole_file
from vgg16.checkpoint import Checkpoint, Metadata, Tensor, configuration_of, digest
from vgg16.errors import BadInput, require_file

_EXPECTED: Final = "weights saved by Keras 3 (.weights.h5)"
# More than the groups and attributes of the largest configuration take.
_OVERHEAD: Final = 1 << 20
_KINDS: Final = {"0": "weight", "1": "bias"}
# Our own attribute of the file's root, which Keras does not look at.
_METADATA: Final = "vgg16"


def read_weights(path: str | os.PathLike[str]) -> Checkpoint:
    """A ``.weights.h5`` of Keras 3 as a checkpoint; each tensor is read when asked for.

    Its configuration is found from the shapes of its convolutions. Its metadata are those that
    :func:`write_weights` left in it; without them the recipe is that of Keras's own weights,
    ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    path = require_file(path, _EXPECTED)
    try:
        with h5py.File(path) as file:
            stored = _datasets(path, file)
            kept = Metadata.from_json(str(file.attrs.get(_METADATA, "")))
    except BadInput:
        raise
    except Exception as error:  # whatever HDF5 raises on a damaged file
        raise BadInput(path, f"not a readable HDF5 file ({error})", _EXPECTED) from error
    shapes = {
        name: layouts.keras_shape_to_canonical(shape) for name, (_, shape, _) in stored.items()
    }
    configuration = configuration_of({name: shapes[name] for name in sorted(shapes)}, str(path))
    tensors = {
        name: _tensor(path, where, name, shapes[name], dtype, configuration.feature_shape)
        for name, (where, _, dtype) in stored.items()
    }
    metadata = kept or Metadata(
        recipe="caffe",
        source=path.name,
        source_format="keras-weights-h5",
        source_sha256=digest(path),
    )
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write_weights(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint as the ``.weights.h5`` that both forms of the Keras model load. The
    metadata go along, where Keras does not look.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    checkpoint.check_values()
    with whole_file(path) as temporary:
        # HDF5 crashes the process when a disk turns out to be full.
        check_space(temporary, 4 * checkpoint.configuration.parameters() + _OVERHEAD)
        _write(checkpoint, temporary)


def _write(checkpoint: Checkpoint, path: Path) -> None:
    feature_shape = checkpoint.configuration.feature_shape
    numbers: Counter[str] = Counter()
    with h5py.File(path, "w") as file:
        file.attrs[_METADATA] = checkpoint.metadata.to_json()
        for layer in checkpoint.configuration.layers:
            kind = _CONTAINERS[type(layer)]
            container = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
            numbers[kind] += 1
            group = file.create_group(f"layers/{container}/vars")
            group.attrs["name"] = layer.name
            if isinstance(layer, Convolution | Dense):
                for number, part in _KINDS.items():
                    name = f"{layer.name}.{part}"
                    values = layouts.canonical_to_keras(name, checkpoint[name], feature_shape)
                    group.create_dataset(number, data=layouts.contiguous(values))


_CONTAINERS: Final[dict[type[Layer], str]] = {
    Convolution: "conv2d",
    MaxPooling: "max_pooling2d",
    Flatten: "flatten",
    Dense: "dense",
}


def _datasets(path: Path, file: h5py.File) -> dict[str, tuple[str, Shape, str]]:
    """Tensor name -> where in the file, shape and type, of every layer's variables."""
    found: dict[str, tuple[str, Shape, str]] = {}
    layers = file.get("layers")
    if not isinstance(layers, h5py.Group):
        raise BadInput(path, "an HDF5 file without the group 'layers'", _EXPECTED)
    for container, layer in layers.items():
        variables = layer.get("vars") if isinstance(layer, h5py.Group) else None
        if not isinstance(variables, h5py.Group) or not len(variables):
            continue
        if "name" not in variables.attrs:
            raise BadInput(path, f"layers/{container} does not say its layer's name", _EXPECTED)
        for number, dataset in variables.items():
            name = f"{variables.attrs['name']}.{_KINDS.get(number, number)}"
            if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                raise BadInput(path, f"layers/{container}/vars/{number} is no array", _EXPECTED)
            if name in found:
                raise BadInput(path, f"holds {name} twice", _EXPECTED)
            found[name] = (str(dataset.name), dataset.shape, str(dataset.dtype))
    return found


def _tensor(
    path: Path, where: str, name: str, shape: Shape, dtype: str, feature_shape: Shape
) -> Tensor:
    def read() -> layouts.Array:
        with h5py.File(path) as file:
            return layouts.keras_to_canonical(name, file[where][()], feature_shape)

    return Tensor(shape, dtype, read)
