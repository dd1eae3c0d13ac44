"""Hidden names beside a file for what is not whole yet, and what killed processes left of them.

Each writer has names of its own, and locks one of them, an empty file, for as long as it lives: the
system lets go of the lock however the process ends. So the next writer to the same name can tell
what is abandoned from what another process is busy with, on this computer or on another that has
the same folder. A process's number would not do: numbers come again, and containers each count
their own. Where a file system knows no locks, nothing is taken for abandoned.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

_LOCK, _TEMPORARY, _OLDER = ".lock", ".tmp", ".old"
# A lock is lost only where another process clears up between two lines of this one.
_TRIES: Final = 100


class Neighbours(NamedTuple):
    """Names that are one writer's alone: for what it writes, and for what that replaces."""

    temporary: Path
    older: Path


@contextmanager
def neighbours(path: Path) -> Iterator[Neighbours]:
    """Yield names beside ``path`` for this process, after clearing up what dead ones left there.

    A folder that a killed process had moved aside, with nothing put in its place, is put back.
    What the caller has not removed by the end, the next writer to ``path`` does.

    Raises ``OSError`` where the folder takes no files.
    """
    _clear_up(path)
    lock, descriptor = _claimed(path)
    names = Neighbours(lock.with_suffix(_TEMPORARY), lock.with_suffix(_OLDER))
    try:
        yield names
    finally:
        os.close(descriptor)
        if not any(map(os.path.lexists, names)):
            with suppress(OSError):
                lock.unlink()


def _claimed(path: Path) -> tuple[Path, int]:
    """A new file beside ``path`` that this process has locked, and its descriptor."""
    for _ in range(_TRIES):
        lock = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_LOCK}")
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            continue
        except OSError:
            return lock, descriptor  # no locks here: nobody else gets this one either
        if lock.exists():
            return lock, descriptor
        os.close(descriptor)
    raise BlockingIOError(f"no lock beside {path}")


def _clear_up(path: Path) -> None:
    ours = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}" + re.escape(_LOCK))
    with suppress(OSError):  # a folder that takes files need not list them
        for name in os.listdir(path.parent):  # noqa: PTH208 - a name is all that is needed
            if ours.fullmatch(name):
                with suppress(OSError):  # its owner lives, or another process was faster
                    _clear(path, path.with_name(name))


def _clear(path: Path, lock: Path) -> None:
    """Remove what the owner of a lock left. Raises ``OSError`` where it lives."""
    descriptor = os.open(lock, os.O_RDWR)
    try:
        _lock(descriptor)
        temporary, older = lock.with_suffix(_TEMPORARY), lock.with_suffix(_OLDER)
        if os.path.lexists(older) and not os.path.lexists(path):
            older.rename(path)
        for left in (temporary, older):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    lock.unlink(missing_ok=True)


def _lock(descriptor: int) -> None:
    """Lock an open file. Raises ``BlockingIOError``, or ``PermissionError``, where another has."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # Not lockf: that lock is lost when any part of the process closes the file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
