"""Whether a library reads a file to its end, tried in a process of its own.

libhdf5 and SciPy's reader of MATLAB's files do not survive every damaged file. A file that they
have read once they read again, so that the caller's process is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from vgg16_spec.files.apart import run_apart

# A damaged file is small or broken early; one of 0.55 GB gets as long as any file may take.
_SECONDS: Final = 15
_BYTES_PER_SECOND: Final = 12e6
_MOST_SECONDS: Final = 60
# What the file holds, or a VGG's weights if that is more, and what a library needs for itself.
_WEIGHTS: Final = 600_000_000
_LIBRARY: Final = 500_000_000


def check_readable(read: Callable[..., object], path: Path, *arguments: int) -> None:
    """Raise ``ValueError`` unless a function of a module reads a file to its end.

    Args:
        read: A function at the top of a module, called with the path's text in another process.
        path: Its first argument.
        arguments: The others.
    """
    stat = path.stat()
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if problem := _problem(read, path, arguments, identity):
        raise ValueError(problem)


@lru_cache(maxsize=4)
def _problem(
    read: Callable[..., object], path: Path, arguments: tuple[int, ...], identity: tuple[int, ...]
) -> str:
    """What is wrong with a file; kept, since a file is recognised before it is read."""
    size = identity[2]
    seconds = min(_MOST_SECONDS, _SECONDS + size / _BYTES_PER_SECOND)
    memory = max(size, _WEIGHTS) + _LIBRARY
    try:
        run_apart(read, str(path), *arguments, doing="reading it", seconds=seconds, memory=memory)
    except ValueError as error:
        return str(error)
    return ""
