"""Reading in a process of its own, which may crash, hang or run out of memory.

libhdf5 and SciPy's reader of MATLAB's files do not survive every damaged file. A file that they
have read once they read again, so that the caller's process is safe. TensorFlow reads there only:
what it finds is written to a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

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
    return _run(read, path, arguments, seconds=_SECONDS + identity[2] / _BYTES_PER_SECOND)


def read_apart(
    read: Callable[..., object], path: Path, output: IO[bytes], *, seconds: float, memory: int
) -> None:
    """Have another process read a file and write what it finds to its standard output.

    Args:
        read: A function at the top of a module, called with the path in the other process.
        path: Its argument.
        output: An open file that becomes the other process's standard output.
        seconds: How long that may take.
        memory: How many bytes of addresses it may take.

    Raises ``ValueError`` that says what went wrong there.
    """
    if problem := _run(read, path, (), seconds=seconds, memory=memory, output=output):
        raise ValueError(problem)


def _run(
    read: Callable[..., object],
    path: Path,
    arguments: tuple[int, ...],
    *,
    seconds: float,
    memory: int = _MOST_MEMORY,
    output: IO[bytes] | int = subprocess.DEVNULL,
) -> str:
    """What went wrong in a process of its own; empty where nothing did."""
    paths = [entry for entry in sys.path if isinstance(entry, str)]
    task = (read.__module__, read.__name__, memory, str(path), *arguments, paths)
    # Each thread of OpenBLAS would claim memory; TensorFlow's log would hide the error.
    quiet = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done: subprocess.CompletedProcess[Any] = subprocess.run(
            [sys.executable, "-P", "-c", _CODE.format(task)],
            env=os.environ | quiet,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return "reading it takes too long"
    if done.returncode < 0 or (done.returncode and not done.stderr.strip()):
        return "reading it crashes the reader"
    return str(done.stderr.strip().rpartition("\n")[2]) if done.returncode else ""
