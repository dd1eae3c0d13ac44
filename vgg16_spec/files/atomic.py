"""Output that is either whole or absent: a temporary neighbour, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.neighbours import neighbours

_WRITABLE: Final = "a writable folder with enough free space"
_REFUSALS: Final = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
# Two writers of one folder come between each other's renames once, hardly twice.
_EXCHANGES: Final = 100
_WRITE_BACK_SECONDS: Final = 0.05


@contextmanager
def whole_file(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``destination``; on success it becomes ``destination``.

    On any exception the temporary file is removed and ``destination`` stays as it was; what a
    process leaves that is killed, the next writer to ``destination`` removes.

    Raises ``BadInput`` when the destination cannot be written (a missing or read-only folder, a
    folder in the file's place, a full disk).
    """
    path = _file_destination(destination)
    with _write_errors(path), neighbours(path) as (temporary, _):
        try:
            # Not tempfile: its files are readable by their owner only, and stay so once renamed.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            with _written_back(temporary):
                yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``destination``; on success it becomes ``destination``.

    An older folder of that name is replaced, with everything in it: whether it may be is the
    caller's decision. On any exception the temporary folder is removed and the older one stays.
    A process that is killed between moving the older one aside and putting the new one in its place
    leaves neither; the next writer to ``destination`` puts the older one back first.

    Raises ``BadInput`` when the destination cannot be written.
    """
    path = _followed(destination)
    # Asked once: between two questions another writer may move the folder aside.
    with suppress(OSError):
        if not stat.S_ISDIR(path.stat().st_mode):
            raise BadInput(path, "is no folder", "the name of a folder to write")
    with _write_errors(path), neighbours(path) as (temporary, older):
        try:
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                sync(file)
            _exchange(temporary, path, older)
            shutil.rmtree(older, ignore_errors=True)
            sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if path.exists():
                shutil.rmtree(older, ignore_errors=True)


@contextmanager
def _written_back(path: Path) -> Iterator[None]:
    """Have a file's content go to the disk while more of it is made: less is waited for later."""
    done, failures = threading.Event(), list[OSError]()

    def keep_up() -> None:
        try:
            while not done.wait(_WRITE_BACK_SECONDS):
                sync(path)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=keep_up)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    # The system tells of what it could not write once only: whoever asks next hears nothing.
    for failure in failures:
        raise failure


def _exchange(temporary: Path, path: Path, older: Path) -> None:
    """Put a folder in the place of an older one, which is moved aside."""
    for _ in range(_EXCHANGES):
        shutil.rmtree(older, ignore_errors=True)
        try:
            with suppress(FileNotFoundError):
                path.rename(older)
            temporary.rename(path)
        except BaseException as error:  # an interrupt too
            if not _taken(error):
                with suppress(
                    OSError
                ):  # where another writer has put its own there, that one stays
                    older.rename(path)
                raise
        else:
            return
    raise BadInput(path, "is written by other processes all the time", "one writer at a time")


def _taken(error: BaseException) -> bool:
    """Whether a rename failed because another writer has put its own folder there in between."""
    return isinstance(error, OSError) and error.errno in (errno.EEXIST, errno.ENOTEMPTY)


def check_space(path: Path, size: int) -> None:
    """Raise ``OSError`` now where there is no room for ``size`` bytes in a file that exists.

    For libraries that do not survive a full disk. Where the system cannot tell, nothing is raised.
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


def check_writable(destination: str | os.PathLike[str]) -> None:
    """Raise ``BadInput`` now where `whole_file` would after the work."""
    path = _file_destination(destination)
    with _write_errors(path), neighbours(path) as (temporary, _):
        temporary.touch(exist_ok=False)
        temporary.unlink()


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


def sync(path: Path) -> None:
    """Wait until what has been written to a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
