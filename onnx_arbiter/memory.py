"""How much memory a process has used, and may use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def peak_memory() -> int:
    """This process's peak memory in bytes, mapped files included."""
    # Linux's own figure first: getrusage's includes the parent's before the fork.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take no more memory than the machine has left, on Linux.

    A file may ask for more than there is. The system would then end a process, perhaps another one.
    """
    limit = _most_memory()
    if limit is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [one for one in (soft, hard) if one != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _most_memory() -> int | None:
    """What this process has and what is left, in bytes; None where the system does not tell."""
    found = list[int]()
    for path, name in (("/proc/self/status", "VmData:"), ("/proc/meminfo", "MemAvailable:")):
        if not Path(path).exists():
            return None
        rows = (line.split() for line in Path(path).read_text().splitlines())
        found += [int(row[1]) * 1024 for row in rows if row[:1] == [name]]
    return sum(found) if len(found) == 2 else None
