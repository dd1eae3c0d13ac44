"""Temporary folders that leave nothing behind, however the process ends."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import system_error
from vgg16_spec.files.neighbours import neighbours

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
    outside = sys.exc_info()[1]
    try:
        with neighbours(place / name) as (folder, _):
            folder.mkdir(mode=0o700)
            yield folder
    except BadInput:
        raise
    except Exception as error:
        if (cause := system_error(error, _FULL, outside)) is not None:
            problem = f"the folder of temporary files is full ({cause.strerror})"
            raise BadInput(place, problem, "room, or another folder in TMPDIR") from error
        raise
