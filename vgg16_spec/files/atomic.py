"""Output that is either whole or absent: a temporary neighbour, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput

_WRITABLE: Final = "a writable folder with enough free space"
_REFUSALS: Final = frozenset(
    getattr(errno, name, None)
    for name in (
        *("EACCES", "EDQUOT", "EFBIG", "EIO", "ENAMETOOLONG"),
        *("ENOENT", "ENOSPC", "ENOTDIR", "EPERM", "EROFS"),
    )
) - {None}


@contextmanager
def whole_file(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``destination``; on success it becomes ``destination``.

    On any exception the temporary file is removed and ``destination`` stays as it was. The next
    writer to ``destination`` removes what a killed process left. Of several writers at once, each
    waits for the one before it.

    Raises:
        BadInput: The destination cannot be written: a missing or read-only folder, a folder in the
            file's place, a full disk.
    """
    path = _file_destination(destination)
    with _reserved(path) as (temporary, _):
        # Not tempfile: its files are readable by their owner only, and stay so once renamed.
        temporary.touch(exist_ok=False)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


@contextmanager
def whole_folder(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``destination``; on success it becomes ``destination``.

    An older folder of that name is replaced with everything in it; the caller decides whether it
    may be. On any exception the temporary folder is removed and the older one stays. A process that
    is killed between moving the older folder aside and moving the new one in leaves neither under
    that name; the next writer to ``destination`` puts the older one back first.

    Raises:
        BadInput: The destination cannot be written.
    """
    path = _followed(destination)
    with _reserved(path) as (temporary, older):
        if path.exists() and not path.is_dir():
            raise BadInput(path, "is no folder", "the name of a folder to write")
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        with suppress(FileNotFoundError):
            path.rename(older)
        temporary.rename(path)
        sync(path.parent)


def check_writable(destination: str | os.PathLike[str]) -> None:
    """Raise ``BadInput`` now where `whole_file` would after the work."""
    with _reserved(_file_destination(destination)) as (temporary, _):
        temporary.touch()


def check_space(path: Path, size: int) -> None:
    """Raise ``OSError`` now where there is no room for ``size`` bytes in a file that exists.

    For libraries that crash on a full disk. Where the system cannot tell, nothing is raised.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
            finally:
                file.truncate(0)


def sync(path: Path) -> None:
    """Wait until what has been written to a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reserved(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield two free names beside ``path``: for what is written, and for what it replaces.

    A lock keeps other writers to ``path`` out, so whatever is under these names at the start was
    left by a killed process. Whatever is there at the end is removed.
    """
    from filelock import FileLock

    lock, temporary, older = (
        path.with_name(f".{path.name}.vgg16-{n}") for n in ("lock", "tmp", "old")
    )
    with _write_errors(path):
        lock.touch()  # raises at once where the folder takes no file; filelock would wait
        with FileLock(lock):
            try:
                _clear(path, temporary, older)
                yield temporary, older
            finally:
                _clear(path, temporary, older)
                with suppress(OSError):  # Windows keeps a locked file; the library removes it there
                    lock.unlink()


def _clear(path: Path, temporary: Path, older: Path) -> None:
    """Put back an older folder that nothing has replaced, and remove the temporary names."""
    if older.exists() and not path.exists():
        older.rename(path)
    for left in (temporary, older):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _file_destination(destination: str | os.PathLike[str]) -> Path:
    path = _followed(destination)
    expected = "the name of a file to write"
    if path.is_dir():
        raise BadInput(path, "is a folder", expected)
    if path.exists() and not path.is_file():
        raise BadInput(path, "is a device or a pipe", expected)
    return path


def _followed(destination: str | os.PathLike[str]) -> Path:
    """Where a link leads, so that the link stays; ``.`` by its name."""
    path = Path(destination)
    return Path(os.path.realpath(path)) if path.is_symlink() or not path.name else path


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write ``path`` into ``BadInput``."""
    outside = sys.exc_info()[1]
    try:
        if not path.parent.is_dir():
            raise BadInput(path.parent, "no such folder", "an existing folder to write to")
        yield
    except BadInput:
        raise
    except Exception as error:
        if (cause := _refusal_behind(error, outside)) is None:
            raise
        raise BadInput(path, f"cannot be written ({cause.strerror})", _WRITABLE) from error


def _refusal_behind(error: BaseException, outside: BaseException | None) -> OSError | None:
    """The system's refusal to write that led to an exception, if one did.

    Libraries that write files raise another error while they close the one that could not be
    written. ``outside`` is what was being handled before anything was written.
    """
    current: BaseException | None = error
    while current is not None and current is not outside:
        if isinstance(current, OSError) and current.errno in _REFUSALS:
            return current
        current = current.__context__
    return None
