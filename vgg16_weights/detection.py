"""Which format a file is in, by its content, or is to be in, by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput, require_file
from vgg16_weights.archives import members
from vgg16_weights.formats import START_BYTES
from vgg16_weights.registry import FORMATS, LAST, module

# Three times the largest configuration, as a model saved with its optimizer's state takes. A sparse
# file may claim terabytes, and looking at each byte once would take a day.
_MOST_BYTES: Final = 1 << 31


def detect(path: str | os.PathLike[str]) -> str:
    """The format of a file, from its content.

    Raises ``BadInput`` for a file that is missing, cannot be read, or is in no format of ours.
    """
    path = Path(path)
    expected = f"a file of one of the formats {', '.join(FORMATS)}"
    _check_size(require_file(path, expected))
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", expected) from error
    names = members(path)
    for name in sorted(FORMATS, key=LAST.__contains__):
        if module(name).recognises(path, start, names):
            return name
    raise BadInput(path, "not a weights file", expected)


def read(path: str | os.PathLike[str], file_format: str | None = None) -> Checkpoint:
    """A weights file of any format as a checkpoint.

    Args:
        path: the file.
        file_format: one of ``FORMATS``; found from the content unless given.

    Raises ``BadInput`` for a file that cannot be used.
    """
    path = Path(path)
    chosen = module(file_format or detect(path))
    _check_size(require_file(path, chosen.FORMAT.title))
    return chosen.read(path)


def write(
    checkpoint: Checkpoint, path: str | os.PathLike[str], file_format: str | None = None
) -> str:
    """Write a checkpoint; its format.

    Args:
        checkpoint: whose values and metadata to write.
        path: the file; what was there stays until the new one is whole.
        file_format: one of ``FORMATS``; found from the file's ending unless given.

    Raises ``BadInput`` for a format that is not written, a value that is not finite, or a file that
    cannot be written.
    """
    name = format_to_write(path, file_format)
    module(name).write(checkpoint, Path(path))
    return name


def format_to_write(path: str | os.PathLike[str], file_format: str | None = None) -> str:
    """The format in which `write` would write a file; raises ``BadInput`` as it does."""
    name = _by_ending(Path(path)) if file_format is None else file_format
    if not module(name).FORMAT.writable:
        raise BadInput("format", f"{name} is only read", f"one of {', '.join(writable())}")
    return name


def writable() -> tuple[str, ...]:
    """The formats that are written too."""
    return tuple(name for name in FORMATS if module(name).FORMAT.writable)


def _check_size(path: Path) -> None:
    if (size := path.stat().st_size) > _MOST_BYTES:
        problem = f"has {size:,} bytes"
        raise BadInput(path, problem, f"the weights of a VGG, {_MOST_BYTES:,} bytes at most")


def _by_ending(path: Path) -> str:
    endings = {name: module(name).FORMAT.ending for name in FORMATS}
    # The longest first: .weights.h5 also ends in .h5.
    for name, ending in sorted(endings.items(), key=lambda item: -len(item[1])):
        if ending and path.name.endswith(ending):
            return name
    known = [module(name).FORMAT.ending for name in writable()]
    expected = f"one that ends in {', '.join(filter(None, known))}, or --to"
    raise BadInput(path, "its name does not tell the format", expected)
