"""Temporary folders that leave nothing behind, however the process ends."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.neighbours import neighbours
from vgg16_spec.files.refusals import refusals_told

_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield a folder of the user's own among the system's temporary files; it is removed after use.

    What a process leaves that is killed, the next one that asks for the same name removes.

    Args:
        name: of what it is for: ``vgg16-parity``.

    Raises ``BadInput`` where there is no such place, and where it is full.
    """
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        problem = "no folder for temporary files can be written"
        raise BadInput("TMPDIR", problem, "a writable folder") from error
    problem, expected = "the folder of temporary files is full", "room, or another folder in TMPDIR"
    with refusals_told(place, problem, _FULL, expected), neighbours(place / name) as (folder, _):
        folder.mkdir(mode=0o700)
        yield folder
