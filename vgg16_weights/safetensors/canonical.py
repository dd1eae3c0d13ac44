"""The canonical checkpoint: safetensors under our own names, which every runtime here reads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from vgg16_weights.formats import Format

FORMAT: Final = Format(
    name="safetensors", ending=".safetensors", title="a canonical checkpoint (.safetensors)"
)


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether the file begins as any safetensors file does; what is in it, reading tells."""
    return start[8:9] == b"{"


def read(path: Path) -> Checkpoint:
    """A canonical checkpoint; its tensors are views into the mapped file.

    Raises ``BadInput`` as `vgg16_spec.checkpoint.checkpoint.open_checkpoint` does.
    """
    return open_checkpoint(path)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a canonical checkpoint, as `vgg16_spec.checkpoint.checkpoint.write_checkpoint` does."""
    write_checkpoint(checkpoint, path)
