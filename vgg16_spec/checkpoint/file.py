"""The canonical checkpoint's file: one safetensors file that every runtime reads.

Its tensors lie in the canonical layout, so that an ONNX file can point into it. Its metadata name
the configuration, the preprocessing recipe, where the values came from, and their licence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from vgg16_spec.architecture import CONFIGURATIONS, Configuration
from vgg16_spec.blocks import BLOCK_BYTES
from vgg16_spec.checkpoint.checkpoint import Checkpoint
from vgg16_spec.checkpoint.header import float32_header, read_header
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.shapes import with_shown_head
from vgg16_spec.checkpoint.tensors import Tensor, mapped_view
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import recognise

FORMAT: Final = "vgg16-checkpoint/1"
# Where a file under another library's keys keeps our metadata.
MANIFEST: Final = "vgg16"
_EXPECTED: Final = "a canonical checkpoint (.safetensors)"


def open_checkpoint(path: str | os.PathLike[str], *, check_values: bool = True) -> Checkpoint:
    """Open a canonical checkpoint; its tensors are views into the mapped file, read-only.

    A safetensors file with torchvision's or timm's keys is one too: their tensors lie in canonical
    layout already. Without metadata of ours it gets torchvision's recipe, which is that of both.

    With ``check_values`` every value is looked at once: NaN and infinity are refused.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of the configuration that its metadata name.
    """
    path = Path(path)
    stored, entries = read_header(path, _EXPECTED)
    is_recipe_assumed = False
    if stored.get("format") == FORMAT:
        configuration, metadata = _stated(path, stored)
    elif (recognised := recognise({name: e.shape for name, e in entries.items()})) is not None:
        configuration, renamed, source_format = recognised
        # The shapes are the canonical ones up to axes of one and merged axes: the same bytes.
        shapes = configuration.weight_shapes
        entries = {n: entries[key]._replace(shape=shapes[n]) for n, key in renamed.items()}
        kept = Metadata.from_json(stored.get(MANIFEST, ""))
        metadata = kept or Metadata.of_file("torchvision", path, source_format)
        is_recipe_assumed = kept is None
    else:
        raise BadInput(path, "a safetensors file without a checkpoint's metadata", _EXPECTED)

    mapped = np.memmap(path, np.uint8, mode="r")
    tensors = {
        name: Tensor(
            entry.shape,
            "float32" if entry.dtype == "F32" else entry.dtype,
            partial(mapped_view, mapped, entry.start, entry.shape),
        )
        for name, entry in entries.items()
    }
    checkpoint = Checkpoint(
        with_shown_head(configuration, {name: entry.shape for name, entry in entries.items()}),
        metadata,
        tensors,
        path=path,
        offsets={name: entry.start for name, entry in entries.items()},
        is_whole_file=stored.get("format") == FORMAT,
        is_recipe_assumed=is_recipe_assumed,
    )
    if check_values:
        checkpoint.check_values()
    return checkpoint


def _stated(path: Path, stored: Mapping[str, str]) -> tuple[Configuration, Metadata]:
    """What a canonical file's metadata say."""
    name = stored.get("configuration", "")
    if name not in CONFIGURATIONS:
        known = ", ".join(CONFIGURATIONS)
        raise BadInput(path, f"its configuration is {name!r}", f"one of {known}")
    if "recipe" not in stored:
        raise BadInput(path, "does not name its preprocessing recipe", _EXPECTED)
    known_fields = {field.name for field in fields(Metadata)}
    metadata = Metadata(**{k: v for k, v in stored.items() if k in known_fields})
    return CONFIGURATIONS[name], metadata


def write_checkpoint(
    checkpoint: Checkpoint, path: str | os.PathLike[str], block_bytes: int = BLOCK_BYTES
) -> Checkpoint:
    """Write a canonical checkpoint in blocks of ``block_bytes`` at most, and open it.

    The same values and metadata give the same bytes.

    Raises ``BadInput``, and leaves whatever was at ``path``, when the file cannot be written, a
    value is not finite, or the metadata are more than a file has room for.
    """
    checkpoint.metadata.check_writable(checkpoint.label)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        stated = {"format": FORMAT, "configuration": checkpoint.configuration.name}
        stated |= checkpoint.metadata.stated()
        file.write(float32_header(checkpoint.configuration.weight_shapes, stated))
        with checkpoint.finite_blocks(block_bytes=block_bytes) as blocks_of:
            for name in checkpoint:
                for block in blocks_of(name):
                    file.write(block.data)
        file.flush()
        open_checkpoint(temporary, check_values=False)  # what cannot be read never appears
    return open_checkpoint(path, check_values=False)
