"""Safetensors files under another library's keys, in the canonical layout's order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import MANIFEST, Checkpoint, open_checkpoint
from vgg16_spec.checkpoint.header import float32_header, read_header
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import recognise
from vgg16_weights.formats import Format


def is_keyed(path: Path, start: bytes, file_format: Format) -> bool:
    """Whether a file is safetensors with just the tensors of one VGG under the format's keys."""
    if start[8:9] != b"{":
        return False
    try:
        return _recognised(path, file_format) == file_format.name
    except BadInput:
        return False


def read_keyed(path: Path, file_format: Format) -> Checkpoint:
    """The file as a checkpoint. Raises ``BadInput`` for a file of another format."""
    if _recognised(path, file_format) != file_format.name:
        problem = "its tensors are not those of a VGG in this format"
        raise BadInput(path, problem, file_format.title)
    return open_checkpoint(path)


def write_keyed(
    checkpoint: Checkpoint, path: Path, keys: Mapping[str, str], shapes: Mapping[str, Shape]
) -> None:
    """Write the values as they are, under other keys and shapes of as many elements.

    Raises ``BadInput`` when a value is not finite or the file cannot be written.
    """
    # Libraries of the hub look for the format's mark.
    stated = {"format": "pt", MANIFEST: checkpoint.metadata.to_json()}
    header = float32_header({key: shapes[name] for name, key in keys.items()}, stated)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        with checkpoint.finite_blocks() as blocks_of:
            for name in keys:
                for block in blocks_of(name):
                    file.write(block.data)


def _recognised(path: Path, file_format: Format) -> str:
    _, entries = read_header(path, file_format.title)
    found = recognise({key: entry.shape for key, entry in entries.items()})
    return found[2] if found else ""
