"""Kill what writes at random moments: in forks of a process that holds nothing with threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

ATTEMPTS: Final = 20

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")


def report(module: str, *arguments: str | Path) -> dict[str, Any]:
    """What a module of ``parity_tests``, run as a process of its own, prints last: JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"parity_tests.support.{module}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def attempt(work: Callable[[], object], kill_after: float | None) -> float:
    """Do it in a fork, and kill that after so many seconds; how many it took.

    Raises ``RuntimeError`` where it was not to be killed and failed.
    """
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if kill_after is None and status != 0:
        raise RuntimeError(f"it failed by itself: exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start
