"""A first reading of a file in a process of its own, which may crash, hang or run out of memory.

libhdf5 and SciPy's reader of MATLAB's files do not survive every damaged file. A file that they
have read once they read again, so that the caller's process is safe.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

# A damaged file is small or broken early; one of 0.55 GB gets three minutes.
_SECONDS: Final = 15
_BYTES_PER_SECOND: Final = 3e6
_MOST_MEMORY: Final = 3 << 30
_CODE: Final = """
import sys
module, function, most, path, *arguments, paths = {0!r}
sys.path[:] = paths
from importlib import import_module
from pathlib import Path
read = getattr(import_module(module), function)
try:
    import resource
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
except (ImportError, ValueError, OSError):  # no such limit here, or a lower one
    pass
try:
    read(Path(path), *arguments)
except Exception as error:
    sys.exit(" ".join(str(error).split()) or type(error).__name__)
"""


def check_readable(read: Callable[..., object], path: Path, *arguments: int) -> None:
    """Raise ``ValueError`` unless a function of a module reads a file to its end.

    Args:
        read: A function at the top of a module, called in another process.
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
    paths = [entry for entry in sys.path if isinstance(entry, str)]
    task = (read.__module__, read.__name__, _MOST_MEMORY, str(path), *arguments, paths)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CODE.format(task)],
            # Each thread of OpenBLAS would claim memory.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS + identity[2] / _BYTES_PER_SECOND,
        )
    except subprocess.TimeoutExpired:
        return "reading it does not end"
    if done.returncode < 0 or (done.returncode and not done.stderr.strip()):
        return "reading it ends the process"
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
