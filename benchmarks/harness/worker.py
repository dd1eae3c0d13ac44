"""The worker's side of ``benchmarks.harness.measure``."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.harness.measure import Memory, Span, memory, waiting_file
from onnx_arbiter.memory import peak_memory
from vgg16_spec.files.atomic import whole_file


class Recorder:
    """The worker's side: its spans and its result, and the file that they are written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spans: dict[str, Span] = {}
        self.result: dict[str, Any] = {}
        self._peak = 0

    @contextmanager
    def alone(self, lock: str) -> Iterator[None]:
        """Do the body while no other process holds the lock file; the wait is not counted.

        A process that ends releases the lock, however it ends.
        """
        waiting = waiting_file(self._path)
        waiting.touch()
        with FileLock(lock):
            waiting.unlink()
            yield

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measure the body."""
        gc.collect()
        self._peak = max(self._peak, peak_memory())
        # Reset Linux's peak; a higher one during the imports would hide that of the work.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before, start = memory(), time.monotonic()
        try:
            yield
        finally:
            end = time.monotonic()
            peak = Memory(peak_memory(), max(before.anonymous, memory().anonymous))
            self.spans[name] = Span(start, end, before, peak)

    def write(self, error: str = "", *, finished: bool = False) -> None:
        """Write what there is so far; it survives the worker being killed."""
        record = {
            "finished": finished,
            "error": error,
            "peak": max(self._peak, peak_memory()),
            "spans": {name: asdict(span) for name, span in self.spans.items()},
            "result": self.result,
        }
        with whole_file(self._path) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")


def serve(job_file: str, work: Mapping[str, Any]) -> int:
    """Do a job's task in the worker, and write a record even if it fails.

    Args:
        job_file: the job, a JSON object.
        work: task -> function of the job and a recorder.

    Returns:
        The exit status.
    """
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    recorder, error = Recorder(Path(job["record"])), ""
    try:
        work[job["task"]](job, recorder)
    except Exception as problem:  # any error of a framework becomes a row of the report
        error = f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"
    recorder.write(error, finished=True)
    return 1 if error else 0
