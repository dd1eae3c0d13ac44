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
from vgg16_spec.files.text import is_utf8

_OTHER: Final = "another folder in TMPDIR"
_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield a folder of the user's own among the system's temporary files; it is removed after use.

    What a process leaves that is killed, the next one that asks for the same name removes.

    Args:
        name: of what it is for: ``vgg16-parity``.

    Raises ``BadInput`` where there is no such place, where it is full, and where its name is not
    UTF-8: ONNX Runtime and other libraries open no file there.
    """
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        problem = "no folder for temporary files can be written"
        raise BadInput("TMPDIR", problem, "a writable folder") from error
    if not is_utf8(place):
        problem = "the folder of temporary files has a name that is not UTF-8"
        raise BadInput(place, problem, _OTHER)
    problem, expected = "the folder of temporary files is full", f"room, or {_OTHER}"
    with refusals_told(place, problem, _FULL, expected), neighbours(place / name) as (folder, _):
        folder.mkdir(mode=0o700)
        yield folder
