"""Threads that each wait for a worker process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Final

_BETWEEN: Final = 0.05  # seconds until workers are killed again that a thread started meanwhile


@contextmanager
def at_once(number: int) -> Iterator[ThreadPoolExecutor]:
    """A number of threads; where the body is interrupted, no worker of theirs goes on."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end = Thread(target=pool.shutdown)
        end.start()
        while end.is_alive():
            _kill_children()
            end.join(_BETWEEN)
        raise
    pool.shutdown()


def _kill_children() -> None:
    """Kill the workers that threads of this process wait for; on Linux."""
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread may have ended
            for child in listed.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
