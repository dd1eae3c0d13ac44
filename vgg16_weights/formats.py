"""What every module of a file format here has: one face, so that a table can name them all.

Besides ``FORMAT`` a module has

- ``recognises(path, start, members) -> bool``: whether a file is of this format, from its content
  alone: ``start``, its first bytes (``START_BYTES`` at most), ``members``, the names in it where
  it is a zip archive, or a look at the file itself. Cheap, and never raises.
- ``read(path) -> Checkpoint``: each tensor is read when asked for. Raises ``BadInput``.
- ``write(checkpoint, path) -> None``: where ``FORMAT.writable``. The values are written block by
  block, and the file appears whole or not at all. Raises ``BadInput``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from vgg16_spec.checkpoint import Checkpoint, Metadata, digest

# Enough to identify every format that has a signature.
START_BYTES: Final = 1024


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        name: what it is called on the command line.
        ending: the file's ending that means it when writing; empty where none does.
        title: one line that says in errors what was expected.
        writable: whether it can be written too.
    """

    name: str
    ending: str
    title: str
    writable: bool = True


class FormatModule(Protocol):
    """A module of this package that knows one file format."""

    FORMAT: Format

    def recognises(self, path: Path, start: bytes, members: frozenset[str]) -> bool:
        """Whether a file's content is of this format."""

    def read(self, path: Path) -> Checkpoint:
        """The file as a checkpoint."""

    def write(self, checkpoint: Checkpoint, path: Path) -> None:
        """Write the checkpoint; only where ``FORMAT.writable``."""


def stated_or_default(
    kept: Metadata | None, path: Path, file_format: Format, recipe: str
) -> Metadata:
    """The metadata that a file of ours kept; of any other file, its name, digest and ``recipe``."""
    return kept or Metadata(recipe, path.name, file_format.name, digest(path))
