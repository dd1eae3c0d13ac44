"""torchvision's state dict as safetensors: the canonical layout under torchvision's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import torchvision_keys
from vgg16_weights.formats import Format
from vgg16_weights.safetensors.keyed import is_keyed, read_keyed, write_keyed

FORMAT: Final = Format(
    name="torchvision-safetensors",
    ending="",
    title="torchvision's state dict as safetensors (.safetensors)",
)


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether it is a safetensors file with just the tensors of one of torchvision's VGGs."""
    return is_keyed(path, start, FORMAT)


def read(path: Path) -> Checkpoint:
    """Weights under torchvision's keys as a checkpoint; its tensors are views into the mapped file.

    Without metadata of ours the recipe is ``torchvision``, that of its own weights.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    return read_keyed(path, FORMAT)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as torchvision's model of the same configuration loads it strictly.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    configuration = checkpoint.configuration
    write_keyed(checkpoint, path, torchvision_keys(configuration), configuration.weight_shapes)
