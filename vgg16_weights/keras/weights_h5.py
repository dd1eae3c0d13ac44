"""Keras 3's own weight files (``.weights.h5``), read and written without building a model.

Neither needs Keras, only h5py. A layer lies in a group named after its class and its number within
the class (``layers/conv2d_3``); the layer's own name is an attribute of the group ``vars`` inside,
and that is what is gone by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import h5py

from vgg16_spec.architecture import Configuration, Convolution, Dense, Flatten, Layer, MaxPooling
from vgg16_spec.checkpoint import Checkpoint, Metadata, configuration_of
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import check_space, whole_file
from vgg16_spec.layouts import keras_shape, keras_shape_to_canonical, keras_view
from vgg16_weights.formats import Format, stated_or_default
from vgg16_weights.keras import hdf5

FORMAT: Final = Format(
    name="keras-weights-h5",
    ending=".weights.h5",
    title="weights saved by Keras 3 (.weights.h5)",
)

# More than the groups and attributes of the largest configuration take.
_OVERHEAD: Final = 1 << 20
_KINDS: Final = {"0": "weight", "1": "bias"}


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether the file begins as any HDF5 file does; what is in it, reading tells."""
    return start.startswith(hdf5.SIGNATURE)


def read(path: Path) -> Checkpoint:
    """A ``.weights.h5`` of Keras 3 as a checkpoint; each tensor is read when asked for.

    Its configuration is found from the shapes of its convolutions. Its metadata are those that
    `write` left in it; without them the recipe is that of Keras's own weights, ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    require_file(path, FORMAT.title)
    with _refusals(path), hdf5.opened(path) as file:
        return read_layers(path, file, 0, None, FORMAT)


def read_layers(
    path: Path, file: h5py.File, base: int, kept: Metadata | None, file_format: Format
) -> Checkpoint:
    """What Keras's saving library has written into an open file as a checkpoint.

    Args:
        path: the file that it is in.
        file: the HDF5 file.
        base: the byte of the file at which it begins.
        kept: metadata found elsewhere; those of the HDF5 file unless given.
        file_format: what the file is in.

    Raises ``BadInput`` as `read` does, and ``ValueError`` for what HDF5 has of its own.
    """
    datasets = _datasets(path, file, file_format)
    shapes = {name: keras_shape_to_canonical(datasets[name].shape) for name in sorted(datasets)}
    configuration = configuration_of(shapes, str(path))
    tensors = {
        name: hdf5.keras_tensor(path, dataset, name, configuration.feature_shape, base)
        for name, dataset in datasets.items()
    }
    metadata = stated_or_default(kept or hdf5.manifest(file), path, file_format, "caffe")
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as the ``.weights.h5`` that both forms of the Keras model load. The
    metadata go along, where Keras does not look.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    with whole_file(path) as temporary:
        write_layers(checkpoint, temporary)


def write_layers(checkpoint: Checkpoint, path: Path) -> None:
    """Write into a file that exists what Keras's saving library writes for such a model.

    Raises ``BadInput`` when a value is not finite, and ``OSError`` where there is no room.
    """
    # HDF5 crashes the process when a disk turns out to be full.
    check_space(path, 4 * checkpoint.configuration.parameters() + _OVERHEAD)
    with h5py.File(path, "w") as file:
        file.attrs[hdf5.MANIFEST] = checkpoint.metadata.to_json()
        offsets = make_room(file, checkpoint.configuration)
    feature_shape = checkpoint.configuration.feature_shape
    with checkpoint.finite_blocks(partial(keras_view, feature_shape=feature_shape)) as blocks_of:
        for name, offset in offsets.items():
            hdf5.write_values(path, offset, blocks_of(name))


def make_room(file: h5py.File, configuration: Configuration) -> dict[str, int]:
    """Everything but the values; canonical tensor name -> the byte where its values belong."""
    numbers: Counter[str] = Counter()
    rooms: dict[str, h5py.Dataset] = {}
    for layer in configuration.layers:
        kind = _CONTAINERS[type(layer)]
        container = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
        numbers[kind] += 1
        group = file.create_group(f"layers/{container}/vars")
        group.attrs["name"] = layer.name
        if isinstance(layer, Convolution | Dense):
            for number, part in _KINDS.items():
                name = f"{layer.name}.{part}"
                shape = keras_shape(configuration.weight_shapes[name])
                rooms[name] = hdf5.allocate_dataset(group, number, shape)
    return {name: room.id.get_offset() for name, room in rooms.items()}


_CONTAINERS: Final[dict[type[Layer], str]] = {
    Convolution: "conv2d",
    MaxPooling: "max_pooling2d",
    Flatten: "flatten",
    Dense: "dense",
}


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 raises on a damaged file into ``BadInput``."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(path, f"not a readable HDF5 file ({error})", FORMAT.title) from error


def _datasets(path: Path, file: h5py.File, file_format: Format) -> dict[str, h5py.Dataset]:
    """Tensor name -> dataset, of every layer's variables."""
    found: dict[str, h5py.Dataset] = {}
    expected = file_format.title
    layers = hdf5.child(file, "layers")
    if not isinstance(layers, h5py.Group):
        raise BadInput(path, "an HDF5 file without the group 'layers'", expected)
    for container in layers:
        layer = hdf5.child(layers, container)
        variables = hdf5.child(layer, "vars") if isinstance(layer, h5py.Group) else None
        if not isinstance(variables, h5py.Group) or not len(variables):
            continue
        if "name" not in variables.attrs:
            raise BadInput(path, f"layers/{container} does not say its layer's name", expected)
        for number in variables:
            dataset = hdf5.child(variables, number)
            name = f"{variables.attrs['name']}.{_KINDS.get(number, number)}"
            if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                raise BadInput(path, f"layers/{container}/vars/{number} is no array", expected)
            if name in found:
                raise BadInput(path, f"holds {name} twice", expected)
            found[name] = dataset
    return found
