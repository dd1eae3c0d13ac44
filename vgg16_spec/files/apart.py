"""Work in a process of its own, which may crash, hang or run out of memory.

Libraries do not survive every damaged or hostile file. What such a process takes is limited, and
how it ends is one line here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, Final

_CODE: Final = """
import sys
module, function, doing, memory, arguments, paths = {0!a}
sys.path[:] = paths
from importlib import import_module
from vgg16_spec.files.apart import begin
begin(memory)
work = getattr(import_module(module), function)
try:
    work(*arguments)
except MemoryError:
    sys.exit(doing + " takes more memory than it should")
except Exception as error:
    sys.exit(" ".join(str(error).split()) or type(error).__name__)
"""
# Each thread of OpenBLAS would claim memory; TensorFlow's log would hide the error.
_QUIET: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
}
# prctl's option that sends a signal when the parent ends.
_SIGNAL_AT_PARENTS_END: Final = 1


def run_apart(
    work: Callable[..., object],
    *arguments: str | int,
    doing: str,
    seconds: float,
    memory: int,
    output: IO[bytes] | int = subprocess.DEVNULL,
) -> None:
    """Have another process do a piece of work.

    Args:
        work: a function at the top of a module.
        arguments: what it is called with.
        doing: what it does, for the messages: ``reading it``.
        seconds: how long that may take, imports included.
        memory: bytes that it may hold, without files that it maps. Where the system has no such
            limit, none is set.
        output: an open file that becomes the other process's standard output.

    Raises ``ValueError`` that says what went wrong there.
    """
    paths = [entry for entry in sys.path if isinstance(entry, str)]
    task = (work.__module__, work.__name__, doing, memory, arguments, paths)
    # Or else the system's names of files may be other texts there.
    mode = f"utf8={sys.flags.utf8_mode}"
    try:
        done: subprocess.CompletedProcess[Any] = subprocess.run(
            [sys.executable, "-P", "-X", mode, "-c", _CODE.format(task)],
            env=os.environ | _QUIET,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{doing} takes too long") from None
    said = done.stderr.strip().rpartition("\n")[2]
    if done.returncode < 0 or (done.returncode and not said):
        raise ValueError(f"{doing} crashes the process")
    if done.returncode:
        raise ValueError(said)


def begin(memory: int) -> None:
    """Limit the memory of this process, which ends when its parent does."""
    end_with_parent()
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))
    except (ImportError, ValueError, OSError):  # no such limit here, or a lower one
        pass


def end_with_parent() -> None:
    """Have Linux end this process when its parent ends, however that happens."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_END, signal.SIGKILL)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
