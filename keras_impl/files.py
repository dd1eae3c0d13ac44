"""Keras 3's own weight files (``.weights.h5``), read and written without building a model.

Neither needs Keras, only h5py. A layer lies in a group named after its class and its number within
the class (``layers/conv2d_3``); the layer's own name is an attribute of the group ``vars`` inside,
and that is what is gone by.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Final

import h5py

from vgg16 import layouts
from vgg16.architecture import Convolution, Dense, Flatten, Layer, MaxPooling, Shape
from vgg16.atomic import check_space, whole_file
from vgg16.checkpoint import Checkpoint, Metadata, Tensor, configuration_of, digest
from vgg16.errors import BadInput

_EXPECTED: Final = "weights saved by Keras 3 (.weights.h5)"
# More than the groups and attributes of the largest configuration take.
_OVERHEAD: Final = 1 << 20
_KINDS: Final = {"0": "weight", "1": "bias"}
# Our own attribute of the file's root, which Keras does not look at.
_METADATA: Final = "vgg16"


def read_weights(path: str | os.PathLike[str], *, recipe: str | None = None) -> Checkpoint:
    """A ``.weights.h5`` of Keras 3 as a checkpoint; each tensor is read when asked for.

    Its configuration is found from the shapes of its convolutions. The recipe is the one given, or
    that which :func:`write_weights` left in the file, or that of Keras's own weights, ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", _EXPECTED)
    try:
        with h5py.File(path) as file:
            stored = {
                f"{name}.{_KINDS.get(number, number)}": (dataset.name, dataset.shape, dataset.dtype)
                for name, group in _layer_groups(path, file)
                for number, dataset in group.items()
            }
            kept = json.loads(file.attrs.get(_METADATA, "{}"))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(path, f"not a readable HDF5 file ({error})", _EXPECTED) from error
    shapes = {
        name: layouts.keras_shape_to_canonical(shape) for name, (_, shape, _) in stored.items()
    }
    configuration = configuration_of({name: shapes[name] for name in sorted(shapes)}, str(path))
    tensors = {
        name: _tensor(path, where, name, shapes[name], str(dtype), configuration.feature_shape)
        for name, (where, _, dtype) in stored.items()
    }
    metadata = Metadata(
        recipe=recipe or kept.get("recipe", "caffe"),
        source=path.name,
        source_format="keras-weights-h5",
        source_sha256=digest(path),
        licence=kept.get("licence", "not stated"),
    )
    return Checkpoint(configuration, metadata, tensors)


def write_weights(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint as the ``.weights.h5`` that both forms of the Keras model load.

    Raises ``BadInput`` when the file cannot be written; what was there then stays.
    """
    with whole_file(path) as temporary:
        # HDF5 crashes the process when a disk turns out to be full.
        check_space(temporary, 4 * checkpoint.configuration.parameters() + _OVERHEAD)
        _write(checkpoint, temporary)


def _write(checkpoint: Checkpoint, path: Path) -> None:
    feature_shape = checkpoint.configuration.feature_shape
    numbers: Counter[str] = Counter()
    with h5py.File(path, "w") as file:
        file.attrs[_METADATA] = json.dumps(asdict(checkpoint.metadata))
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


def _layer_groups(path: Path, file: h5py.File) -> list[tuple[str, h5py.Group]]:
    """(layer's name, group of its variables) of every layer that has variables."""
    if "layers" not in file:
        raise BadInput(path, "an HDF5 file without the group 'layers'", _EXPECTED)
    groups = []
    for container, layer in file["layers"].items():
        variables = layer.get("vars", {})
        if len(variables):
            if "name" not in variables.attrs:
                raise BadInput(path, f"layers/{container} does not say its layer's name", _EXPECTED)
            groups.append((str(variables.attrs["name"]), variables))
    return groups


def _tensor(
    path: Path, where: str, name: str, shape: Shape, dtype: str, feature_shape: Shape
) -> Tensor:
    def read() -> layouts.Array:
        with h5py.File(path) as file:
            return layouts.keras_to_canonical(name, file[where][()], feature_shape)

    return Tensor(shape, dtype, read)
