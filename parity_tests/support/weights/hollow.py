"""Checkpoints of every configuration that take no room: a header, and a hole instead of values."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import FLOAT32, FORMAT, Checkpoint, Metadata, open_checkpoint
from vgg16_spec.checkpoint.header import float32_header


def hollow_checkpoint(configuration: Configuration, folder: Path) -> Checkpoint:
    """A canonical checkpoint of zeros that the file system does not store.

    It serves where only names, shapes and places are looked at.
    """
    path = folder / f"{configuration.name}.safetensors"
    stated = {"format": FORMAT, "configuration": configuration.name}
    stated |= asdict(Metadata("torchvision", "a hole"))
    header = float32_header(configuration.weight_shapes, stated)
    size = sum(map(math.prod, configuration.weight_shapes.values())) * FLOAT32.itemsize
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
    return open_checkpoint(path, check_values=False)
