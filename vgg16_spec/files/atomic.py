"""Output that is either whole or absent: a temporary neighbour, fsync, rename."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.neighbours import discard, neighbours
from vgg16_spec.files.refusals import refusals_told

# What the system says where it refuses to write.
_REFUSALS: Final = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,
        errno.EBUSY,  # the folder is where a file system is mounted
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.EXDEV,  # the folder is of a lower layer of a container's file system
    }
)
# Two writers of one name come between each other's steps once, hardly twice.
_TRIES: Final = 100
_WRITE_BACK_SECONDS: Final = 0.05


@contextmanager
def whole_file(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``destination``; on success it becomes ``destination``.

    On any exception the temporary file is removed and ``destination`` stays as it was; what a
    process leaves that is killed, the next writer to ``destination`` removes. The file's
    permissions are those of a new file, whatever an older one had.

    Raises ``BadInput`` when the destination cannot be written (a missing or read-only folder, a
    folder in the file's place, a full disk).
    """
    path = _destination(destination)
    with _written(path) as (temporary, _):
        # Not tempfile: its files are readable by their owner only, and stay so once renamed.
        temporary.touch(exist_ok=False)
        with _written_back(temporary):
            yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


@contextmanager
def whole_folder(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``destination``; on success it becomes ``destination``.

    An older folder of that name is replaced, with everything in it: whether it may be is the
    caller's decision. On any exception the temporary folder is removed and the older one stays.
    A process that is killed between moving the older one aside and putting the new one in its place
    leaves neither; the next writer to ``destination`` puts the older one back first.

    Raises ``BadInput`` when the destination cannot be written.
    """
    path = _destination(destination, folder=True)
    with _written(path) as (temporary, older):
        temporary.mkdir()
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            sync(file)
        _exchange(temporary, path, older)
        # At once: until then, the older one would be put back if another writer moved this one.
        with suppress(OSError):  # what cannot be removed is left to the next writer
            discard(older)
        sync(path.parent)


def check_writable(destination: str | os.PathLike[str]) -> None:
    """Raise ``BadInput`` now where `whole_file` would after the work."""
    with _written(_destination(destination)) as (temporary, _):
        temporary.touch(exist_ok=False)


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


def sync(path: Path) -> None:
    """Wait until what has been written to a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written_back(path: Path) -> Iterator[None]:
    """Have a file's content go to the disk while more of it is made: less is waited for later."""
    done = threading.Event()

    def keep_up() -> None:
        while not done.wait(_WRITE_BACK_SECONDS):
            sync(path)

    with ThreadPoolExecutor(1) as beside:
        kept_up = beside.submit(keep_up)
        try:
            yield
        finally:
            done.set()
    # The system tells of what it could not write once only: whoever asks next hears nothing.
    kept_up.result()


def _exchange(temporary: Path, path: Path, older: Path) -> None:
    """Put a folder in the place of an older one, which is moved aside."""
    for _ in range(_TRIES):
        try:
            with suppress(FileNotFoundError):
                path.rename(older)
            temporary.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another writer has put its own folder there in between.
            with suppress(OSError):
                discard(older)
        else:
            return
    raise BadInput(path, "is written by other processes all the time", "one writer at a time")


def _destination(destination: str | os.PathLike[str], *, folder: bool = False) -> Path:
    """Where a link leads, so that the link stays; ``.`` and ``..`` by their names."""
    path = Path(destination)
    if path.is_symlink() or path.name in ("", ".."):
        path = Path(os.path.realpath(path))
    expected = f"the name of a {'folder' if folder else 'file'} to write"
    try:
        mode = path.stat().st_mode  # asked once: another writer may move a folder aside
    except OSError:
        return path
    if folder and not stat.S_ISDIR(mode):
        raise BadInput(path, "is not a folder", expected)
    if not folder and not stat.S_ISREG(mode):
        problem = "is a folder" if stat.S_ISDIR(mode) else "is a device or a pipe"
        raise BadInput(path, problem, expected)
    return path


@contextmanager
def _written(path: Path) -> Iterator[tuple[Path, Path]]:
    """`neighbours`, with the system's refusals as ``BadInput``."""
    if not path.parent.is_dir():
        raise BadInput(path.parent, "no such folder", "an existing folder to write to")
    expected = "a writable folder with enough free space"
    with refusals_told(path, "cannot be written", _REFUSALS, expected), neighbours(path) as names:
        yield names
