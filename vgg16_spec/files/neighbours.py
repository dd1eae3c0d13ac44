"""Hidden names beside a path, for what is not whole yet; a lock tells whose they are.

A writer to ``name`` uses ``.name.<random>.tmp`` and ``.old``, and locks an empty ``.lock`` for as
long as it lives: the system lets go of the lock however the process ends. So the next writer to
``name`` can tell what is abandoned from what another one is busy with, on this computer or on
another with the same folder. A process's number would not do: numbers come again, and containers
each count their own. Where a file system knows no locks, nothing is taken for abandoned.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# Two writers come between each other's steps once, hardly twice.
_TRIES: Final = 100


@contextmanager
def neighbours(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield names beside ``path`` for what is written, and for what that replaces.

    First what dead writers left there is cleared up, in the end what this one has.
    """
    _clear_up(path)
    lock, descriptor = _claimed(path)
    try:
        yield lock.with_suffix(".tmp"), lock.with_suffix(".old")
    finally:
        with suppress(OSError):  # what cannot be removed is left to the next writer
            _clear(path, lock, descriptor)


def clear_up(folder: Path) -> None:
    """Clear up what dead writers to any name in a folder left there."""
    for lock in folder.glob(f".?*.{'[0-9a-f]' * 8}.lock"):
        # .name.<random>.lock -> name
        _clear_up(folder / lock.name[1:].rsplit(".", 2)[0])


def discard(older: Path) -> None:
    """Remove a folder that was moved aside: under another name, lest half of it be put back."""
    gone = older.with_suffix(".gone")
    with suppress(FileNotFoundError):
        older.rename(gone)
    _remove(gone)


def _claimed(path: Path) -> tuple[Path, int]:
    """A new file beside ``path`` that this process has locked, and its descriptor."""
    for _ in range(_TRIES):
        lock = path.with_name(f".{path.name}.{secrets.token_hex(4)}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        # Another process may have cleared it up between these two lines.
        if try_lock(descriptor) is not False and lock.exists():
            return lock, descriptor
        os.close(descriptor)
    raise BlockingIOError(errno.EAGAIN, "no lock beside it can be had")


def _clear_up(path: Path) -> None:
    for lock in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.lock"):
        with suppress(OSError):  # another process was faster, or it is another user's
            descriptor = os.open(lock, os.O_RDWR)
            if try_lock(descriptor):
                _clear(path, lock, descriptor)
            else:  # its owner lives
                os.close(descriptor)


def _clear(path: Path, lock: Path, descriptor: int) -> None:
    """Put back an older folder that nothing replaced; remove what else is there, and the lock."""
    older = lock.with_suffix(".old")
    try:
        if os.path.lexists(older) and not os.path.lexists(path):
            older.rename(path)
        discard(older)
        _remove(lock.with_suffix(".tmp"))
    finally:
        os.close(descriptor)
    lock.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file: False where another has it locked, None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    try:
        # Not lockf: that lock is lost when any part of the process closes the file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
