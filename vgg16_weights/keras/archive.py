"""Keras 3's whole models (``.keras``): a zip archive of three members, none of them compressed.

``metadata.json``, ``config.json`` and ``model.weights.h5``, as ``keras/src/saving/saving_lib.py``
writes them. Reading takes the last, and judges it by what the configuration says of the model.
Writing needs no Keras: the configuration is that of the functional model ``keras_impl.functional``,
so that ``keras.saving.load_model`` opens the file without this project. The metadata stand in the
archive's comment, where Keras does not look.
"""

from __future__ import annotations

import json
import math
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import h5py

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Checkpoint
from vgg16_weights.archives import ArchiveWriter, comment, opened, stored
from vgg16_weights.contents import BlocksOf, Contents
from vgg16_weights.keras import hdf5_writing, weights_h5
from vgg16_weights.keras.whole_model.layers import MOST_BYTES
from vgg16_weights.keras.whole_model.model_config import described
from vgg16_weights.keras.written_config import INPUT, dropout_names, model_config, model_name

_WEIGHTS: Final = "model.weights.h5"
_CONFIG: Final = "config.json"
# The version whose configuration this is. The time is fixed: the same values give the same bytes.
_ABOUT: Final = {"keras_version": "3.15.1", "date_saved": "1980-01-01@00:00:00"}


def read(path: Path) -> Contents:
    """The weights in a ``.keras`` file, views of the mapped file."""
    with opened(path) as archive:
        _check_members(archive)
        found = [member for member in archive.infolist() if member.filename == _WEIGHTS]
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} members named {_WEIGHTS}")
        start, _ = stored(path, found[0])
        config = _config(archive)
    contents, foreign = weights_h5.variables(path, start, comment(path))
    return described(contents, config, path, foreign)


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raise ``ValueError`` for members that would harm whoever unpacks the file.

    Nothing is unpacked here, but others may be given the file.
    """
    for name in archive.namelist():
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or ":" in parts[0]:
            raise ValueError(f"its member {name!r} would be unpacked outside its folder")


def _config(archive: zipfile.ZipFile) -> bytes | None:
    """What the archive says of the model; ``None`` where it says nothing."""
    if _CONFIG not in archive.namelist():
        return None
    if archive.getinfo(_CONFIG).file_size > MOST_BYTES:
        raise ValueError(f"its {_CONFIG} has more than {MOST_BYTES} bytes")
    return archive.read(_CONFIG)


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file with the model that ``keras_impl.functional`` builds."""
    configuration = checkpoint.configuration
    with (
        path.open("wb") as file,
        ArchiveWriter(file) as archive,
        tempfile.TemporaryFile(dir=path.parent) as frame,  # a full disk is the file's own
    ):
        archive.add("metadata.json", json.dumps(_ABOUT).encode())
        archive.add(_CONFIG, json.dumps(model_config(configuration)).encode())
        with h5py.File(frame, "w") as weights:
            offsets = hdf5_writing.allocate(
                weights, _groups(configuration), configuration.weight_shapes
            )
        pieces = _filled(frame, configuration.weight_shapes, offsets, blocks_of)
        archive.stream(_WEIGHTS, frame.seek(0, 2), pieces)
        archive.comment(checkpoint.metadata)


def _groups(configuration: Configuration) -> Iterator[hdf5_writing.Group]:
    """The weights' groups, and those of what has none, which Keras 3.5 does not do without."""
    yield from weights_h5.groups(configuration)
    yield hdf5_writing.Group("layers/input_layer/vars", {"name": INPUT})
    for number, name in enumerate(dropout_names(configuration)):
        container = f"dropout_{number}" if number else "dropout"
        yield hdf5_writing.Group(f"layers/{container}/vars", {"name": name})
    yield hdf5_writing.Group("vars", {"name": model_name(configuration)})


def _filled(
    frame: IO[bytes], shapes: Mapping[str, Shape], offsets: Mapping[str, int], blocks_of: BlocksOf
) -> Iterator[bytes | Array]:
    """An HDF5 file that has only room for its tensors, from its first byte, with the tensors."""
    position = 0
    for name, offset in sorted(offsets.items(), key=lambda item: item[1]):
        frame.seek(position)
        yield frame.read(offset - position)
        yield from blocks_of(name)
        position = offset + FLOAT32.itemsize * math.prod(shapes[name])
    frame.seek(position)
    yield frame.read()
