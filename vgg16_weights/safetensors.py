"""Safetensors files: the canonical checkpoint, and others' keys for values that lie as in it.

timm's fc1 and fc2 are convolutions with the same values in order: fc1 goes over the whole last map,
(out, C, H, W) instead of (out, C * H * W), and fc2 is of 1x1, (out, in, 1, 1) instead of (out, in):
``ConvMlp`` in ``timm/models/vgg.py``. Without metadata of ours the recipe is ``torchvision``, that
of timm's own weights too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.blocks import BLOCK_BYTES
from vgg16_spec.checkpoint import (
    FLOATS,
    FORMAT,
    MANIFEST,
    Checkpoint,
    Metadata,
    Tensor,
    open_checkpoint,
    write_checkpoint,
)
from vgg16_spec.checkpoint.header import Entry, float32_header, read_header
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import recognise, timm_keys, torchvision_keys
from vgg16_weights.contents import Choices, Contents, checkpoint_of
from vgg16_weights.formats import Format, format_named

CANONICAL: Final = "safetensors"
# Format -> what gives canonical tensor name -> key.
_KEYS: Final = {"torchvision-safetensors": torchvision_keys, "timm": timm_keys}

# What the format calls the types that become float32.
_DTYPES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


def format_of(path: Path) -> str:
    """The format of a file that begins as safetensors do.

    Any that has not just the tensors of one VGG under another library's keys is taken for a
    canonical one, and reading tells what is wrong with it.
    """
    try:
        return _recognised(path, "") or CANONICAL
    except BadInput:
        return CANONICAL


def read(path: Path, file_format: Format, choices: Choices) -> Checkpoint:
    """The file as a checkpoint; its tensors are views into the mapped file.

    One that is canonical, or has just torchvision's or timm's tensors, can be pointed into. Any
    other is read by what its tensors are called, as other files are.
    """
    stored, entries = read_header(path, file_format.title)
    found = recognise({key: entry.shape for key, entry in entries.items()})
    known = CANONICAL if stored.get("format") == FORMAT else found[2] if found else ""
    if file_format.name not in (CANONICAL, known):
        problem = "its tensors are not those of a VGG in this format"
        raise BadInput(path, problem, file_format.title)
    is_plain = known == CANONICAL or all(entry.dtype == "F32" for entry in entries.values())
    if known and is_plain and choices.key is None:
        checkpoint = open_checkpoint(path, check_values=False)
        checkpoint = checkpoint if choices.include_top else checkpoint.without_top()
        if choices.recipe is not None:
            checkpoint = checkpoint.with_recipe(choices.recipe)
    else:
        like = format_named(known or "torchvision-safetensors")
        checkpoint = checkpoint_of(_contents(path, stored, entries), path, like, choices)
    checkpoint.check_values()
    return checkpoint


def _contents(path: Path, stored: Mapping[str, str], entries: Mapping[str, Entry]) -> Contents:
    """The tensors under their own keys, whose order is the library's and not the network's."""
    mapped = np.memmap(path, np.uint8, mode="r")
    tensors = {}
    for key, entry in entries.items():
        dtype = _DTYPES.get(entry.dtype, entry.dtype)
        kind = FLOATS.get(dtype, np.dtype(np.uint8))
        view = partial(mapped_view, mapped, entry.start, entry.shape, kind)
        tensors[key] = Tensor(entry.shape, dtype, view)
    return Contents(tensors, Metadata.from_json(stored.get(MANIFEST, "")))


def write(
    checkpoint: Checkpoint, path: Path, file_format: Format, block_bytes: int = BLOCK_BYTES
) -> None:
    """Write the values as they are, under the format's keys; another library loads them strictly.

    A block has ``block_bytes`` at most.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    if file_format.name == CANONICAL:
        write_checkpoint(checkpoint, path, block_bytes)
        return
    keys = _KEYS[file_format.name](checkpoint.configuration)
    shapes = {key: _shape(name, key, checkpoint.configuration) for name, key in keys.items()}
    # Libraries of the hub look for the format's mark.
    stated = {"format": "pt", MANIFEST: checkpoint.metadata.to_json()}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(float32_header(shapes, stated))
        with checkpoint.finite_blocks(block_bytes=block_bytes) as blocks_of:
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
