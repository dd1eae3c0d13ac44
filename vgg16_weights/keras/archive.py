"""Keras 3's whole models (``.keras``): a zip archive of three members, none of them compressed.

``metadata.json``, ``config.json`` and ``model.weights.h5``, as ``keras/src/saving/saving_lib.py``
writes them. Reading goes by the last alone; the configuration is only searched for code, and
weights that are not a VGG's are refused. Writing needs no Keras: the configuration is that of the
functional model ``keras_impl.functional``, so that ``keras.saving.load_model`` opens the file
without this project. The metadata stand in the archive's comment, where Keras does not look.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Final

import h5py
import numpy as np

from vgg16_spec.architecture import Configuration
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.layouts import keras_view
from vgg16_weights.archives import ArchiveWriter, comment, is_archive, stored_at
from vgg16_weights.checksums import check_sum
from vgg16_weights.formats import Format
from vgg16_weights.keras import hdf5
from vgg16_weights.keras.config import INPUT, has_dropout, model_config, model_name
from vgg16_weights.keras.weights_h5 import make_room, read_layers

FORMAT: Final = Format(name="keras", ending=".keras", title="a model saved by Keras 3 (.keras)")

_WEIGHTS: Final = "model.weights.h5"
_CONFIG: Final = "config.json"
_MOST_CONFIG: Final = 1 << 22
# What Keras calls a layer of code, and a function's code.
_CODE: Final = re.compile(r'"class_name": "(Lambda|__lambda__)"')
# The version whose configuration this is. The time is none: the same values give the same bytes.
_ABOUT: Final = {"keras_version": "3.15.1", "date_saved": "1980-01-01@00:00:00"}


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether a zip archive has a model's configuration and weights in it."""
    return {_CONFIG, _WEIGHTS} <= members


def read(path: Path) -> Checkpoint:
    """The weights in a ``.keras`` file as a checkpoint; tensors are views of the mapped file.

    The metadata are those that `write` left in it; without them the recipe is that of Keras's
    own weights, ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated, damaged or of another kind, and that
    lists every tensor that does not fit.
    """
    require_file(path, FORMAT.title)
    try:
        is_archive(path)
        with zipfile.ZipFile(path) as archive:
            _check_harmless(archive)
            found = [member for member in archive.infolist() if member.filename == _WEIGHTS]
            kept = comment(path)
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} members named {_WEIGHTS}")
        start = stored_at(path, found[0])
        if start is None:
            raise ValueError(f"its {_WEIGHTS} is compressed, as Keras never writes it")
        size = (found[0].file_size,)
        check_sum(found[0], np.memmap(path, np.uint8, mode="r", offset=start, shape=size))
        with hdf5.opened(path, start) as file:
            return read_layers(path, file, start, kept, FORMAT)
    except BadInput:
        raise
    except Exception as error:  # whatever zipfile and HDF5 raise on a damaged file
        raise BadInput(path, f"cannot be used ({error})", FORMAT.title) from error


def _check_harmless(archive: zipfile.ZipFile) -> None:
    """Raise ``ValueError`` for what would harm who opens the file with Keras, or unpacks it.

    Nothing of either is looked at here; whom the file is handed on to is better off with a refusal.
    """
    for name in archive.namelist():
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or ":" in parts[0]:
            raise ValueError(f"its member {name!r} leads out of it")
    if _CONFIG in archive.namelist():
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG:
            raise ValueError(f"its {_CONFIG} has more than {_MOST_CONFIG} bytes")
        # Written anew, no character hides behind an escape.
        text = json.dumps(json.loads(archive.read(_CONFIG)))
        if _CODE.search(text):
            raise ValueError("it has code in it, a Lambda layer")


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as a ``.keras`` file, block by block, with the metadata beside.

    The model is ``keras_impl.functional``'s, with dropout and softmax. The same values and metadata
    give the same bytes.

    Raises ``BadInput`` when a value is not finite or the file cannot be written.
    """
    configuration = checkpoint.configuration
    arranged = partial(keras_view, feature_shape=configuration.feature_shape)
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as file,
        ArchiveWriter(file) as archive,
        tempfile.TemporaryFile() as frame,
        checkpoint.finite_blocks(arranged) as blocks_of,
    ):
        archive.add("metadata.json", json.dumps(_ABOUT).encode())
        archive.add(_CONFIG, json.dumps(model_config(configuration)).encode())
        with h5py.File(frame, "w") as weights:
            offsets = make_room(weights, configuration)
            _add_empty_groups(weights, configuration)
        pieces = _filled(frame, configuration, offsets, blocks_of)
        archive.stream(_WEIGHTS, frame.seek(0, 2), pieces)
        archive.comment(checkpoint.metadata.to_json())


def _add_empty_groups(file: h5py.File, configuration: Configuration) -> None:
    """The groups of what has no values, which Keras 3.5 does not do without."""
    dropped = [f"{layer.name}_dropout" for layer in configuration.layers if has_dropout(layer)]
    containers = [f"dropout_{number}" if number else "dropout" for number in range(len(dropped))]
    for container, name in zip(["input_layer", *containers], [INPUT, *dropped], strict=True):
        file.create_group(f"layers/{container}/vars").attrs["name"] = name
    file.create_group("vars").attrs["name"] = model_name(configuration)


def _filled(
    frame: IO[bytes],
    configuration: Configuration,
    offsets: Mapping[str, int],
    blocks_of: Callable[[str], Iterator[Array]],
) -> Iterator[bytes | Array]:
    """An HDF5 file that has only room for its tensors, from its first byte, with the tensors."""
    position = 0
    for name, offset in sorted(offsets.items(), key=lambda item: item[1]):
        frame.seek(position)
        yield frame.read(offset - position)
        yield from blocks_of(name)
        position = offset + hdf5.size(configuration.weight_shapes[name])
    frame.seek(position)
    yield frame.read()
