"""Safetensors files: the canonical checkpoint, and others' keys for values that lie as in it.

timm's fc1 and fc2 are convolutions with the same values in order: fc1 goes over the whole last map,
(out, C, H, W) instead of (out, C * H * W), and fc2 is of 1x1, (out, in, 1, 1) instead of (out, in):
``ConvMlp`` in ``timm/models/vgg.py``. Without metadata of ours the recipe is ``torchvision``, that
of timm's own weights too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.checkpoint import MANIFEST, Checkpoint, open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.header import float32_header, read_header
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import recognise, timm_keys, torchvision_keys
from vgg16_weights.formats import Format

CANONICAL: Final = "safetensors"
# Format -> what gives canonical tensor name -> key.
_KEYS: Final = {"torchvision-safetensors": torchvision_keys, "timm": timm_keys}


def format_of(path: Path) -> str:
    """The format of a file that begins as safetensors do.

    Any that has not just the tensors of one VGG under another library's keys is taken for a
    canonical one, and reading tells what is wrong with it.
    """
    try:
        return _recognised(path, "") or CANONICAL
    except BadInput:
        return CANONICAL


def read(path: Path, file_format: Format) -> Checkpoint:
    """The file as a checkpoint; its tensors are views into the mapped file."""
    if file_format.name != CANONICAL and _recognised(path, file_format.title) != file_format.name:
        problem = "its tensors are not those of a VGG in this format"
        raise BadInput(path, problem, file_format.title)
    return open_checkpoint(path)


def write(checkpoint: Checkpoint, path: Path, file_format: Format) -> None:
    """Write the values as they are, under the format's keys; another library loads them strictly.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    if file_format.name == CANONICAL:
        write_checkpoint(checkpoint, path)
        return
    keys = _KEYS[file_format.name](checkpoint.configuration)
    shapes = {key: _shape(name, key, checkpoint.configuration) for name, key in keys.items()}
    # Libraries of the hub look for the format's mark.
    stated = {"format": "pt", MANIFEST: checkpoint.metadata.to_json()}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(float32_header(shapes, stated))
        with checkpoint.finite_blocks() as blocks_of:
            for name in keys:
                for block in blocks_of(name):
                    file.write(block.data)


def _shape(name: str, key: str, configuration: Configuration) -> Shape:
    """A tensor's shape under a key; timm's fc1 is (out, C, H, W), its fc2 (out, in, 1, 1)."""
    shape = configuration.weight_shapes[name]
    match key:
        case "pre_logits.fc1.weight":
            return (shape[0], *configuration.feature_shape)
        case "pre_logits.fc2.weight":
            return (*shape, 1, 1)
        case _:
            return shape


def _recognised(path: Path, expected: str) -> str:
    _, entries = read_header(path, expected)
    found = recognise({key: entry.shape for key, entry in entries.items()})
    return found[2] if found else ""
