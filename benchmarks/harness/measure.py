"""The time and memory that a piece of work takes in its own process.

The measuring process starts a worker (``run``) and samples its memory from outside every few
milliseconds; a thread inside the worker would stall whenever the work holds the GIL. The worker
(``benchmarks.harness.worker``) marks what is measured on the clock that all processes of a machine
share.

Memory is counted twice. *Resident* memory includes the pages of mapped input files (VmHWM and VmRSS
on Linux). *Anonymous* memory does not (RssAnon): the kernel cannot drop it and read it again.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

OVER: Final = "the time for all runs was over"
_INTERVAL: Final = 0.005  # seconds between two samples
_ROOT: Final = Path(__file__).parents[2]
_SETTINGS: Final = {"PYTHONUTF8": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_BLOCK: Final = 1 << 24
_WITHOUT_GPU: Final = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


class Memory(NamedTuple):
    """A process's memory in bytes; zeros where the system does not report it."""

    resident: int
    anonymous: int


class Sample(NamedTuple):
    """A process's memory at a time, in seconds of ``time.monotonic``."""

    at: float
    memory: Memory


@dataclass(frozen=True)
class Limits:
    """When a worker is killed.

    Attributes:
        seconds: that it may take, not counting its wait for another worker (``Recorder.alone``).
        resident: bytes of resident memory that it may hold.
        deadline: the time of ``time.monotonic`` at which all workers end.
    """

    seconds: float
    resident: int
    deadline: float = math.inf


@dataclass(frozen=True)
class Span:
    """One measured piece of work.

    Attributes:
        start, end: seconds of ``time.monotonic``.
        before: the process's memory at the start.
        peak: the peak of each kind in between; that of anonymous memory is sampled.
    """

    start: float
    end: float
    before: Memory
    peak: Memory

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.end - self.start

    @property
    def above(self) -> Memory:
        """The peaks above the memory at the start, in bytes."""
        return Memory(*(max(0, p - b) for p, b in zip(self.peak, self.before, strict=True)))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a worker.

    Attributes:
        error: why it failed or was killed, in one line; empty if it succeeded.
        seconds: the life of the process, imports included.
        peak: the process's peak of resident memory in bytes, imports included.
        spans: name -> measurement.
        result: what the worker returns; of one that was killed, what it had written by then.
    """

    error: str = ""
    seconds: float = 0.0
    peak: int = 0
    spans: dict[str, Span] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


def summary(
    outcomes: Iterable[Outcome],
    span: str,
    choose: Callable[[list[float]], float],
    figure: Callable[[Span], float] = lambda found: found.seconds,
) -> float | None:
    """One figure of a span over several processes, such as the median of its seconds.

    Args:
        outcomes: of the processes; those that failed are left out.
        span: the span's name.
        choose: picks one of the figures, or combines them.
        figure: reads a figure off a span.

    Returns:
        The figure, or ``None`` where no process finished the span.
    """
    found = [figure(o.spans[span]) for o in outcomes if not o.error and span in o.spans]
    return choose(found) if found else None


def settle(*files: Path) -> None:
    """Read files into the page cache, and wait until everything written before is on the disk."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(_BLOCK):
                pass
    if hasattr(os, "sync"):
        os.sync()


def memory(process: int | str = "self") -> Memory:
    """A process's memory by its id; zeros where there is no such process or no ``/proc``."""
    try:
        # In pages: the size, the resident part, and the share of that in files and shared memory.
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except (OSError, ValueError):
        return Memory(0, 0)
    page = os.sysconf("SC_PAGE_SIZE")
    return Memory(int(resident) * page, (int(resident) - int(shared)) * page)


def run(
    module: str,
    job: Mapping[str, Any],
    limits: Limits,
    settings: Mapping[str, str] | None = None,
    *,
    gpu: bool = False,
) -> Outcome:
    """Do a job in a worker process, and measure it.

    Args:
        module: the worker, a Python module that passes its argument to ``worker.serve``.
        job: passed to the worker's function; a JSON object with a ``task``.
        limits: a worker that exceeds them is killed, and its outcome says so.
        settings: environment variables added to those of this process.
        gpu: whether the worker may see a GPU.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        job_file, log_file, record_file = (folder / part for part in ("job", "log", "record"))
        job_file.write_text(json.dumps({**job, "record": str(record_file)}), encoding="utf-8")
        samples: list[Sample] = []
        with log_file.open("wb") as log:
            start = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(job_file)],
                env=_environment({**({} if gpu else _WITHOUT_GPU), **(settings or {})}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stopped = _watch(process, start, limits, samples, waiting_file(record_file))
            seconds = time.monotonic() - start
        seen = max((sample.memory.resident for sample in samples), default=0)
        record: dict[str, Any] = {"finished": False, "result": {}}
        if record_file.exists():
            record = json.loads(record_file.read_text(encoding="utf-8"))
        if stopped or not record["finished"]:
            lines = log_file.read_text("utf-8", "replace").splitlines()
            error = stopped or _death(process.returncode, lines)
            return Outcome(error, seconds, seen, result=record["result"])
        return _read(record, seconds, samples)


def waiting_file(record: Path) -> Path:
    """The file that exists while the worker of a record waits for another."""
    return record.with_name("waiting")


def _watch(
    process: subprocess.Popen[bytes],
    start: float,
    limits: Limits,
    samples: list[Sample],
    waiting: Path,
) -> str:
    """Sample a process until it ends; returns why it was killed, or nothing."""
    last, waited = start, 0.0
    try:
        while True:
            try:
                process.wait(_INTERVAL)
            except subprocess.TimeoutExpired:
                pass
            else:
                return ""
            now = time.monotonic()
            samples.append(Sample(now, memory(process.pid)))
            if waiting.exists():
                waited += now - last
            last = now
            if now > limits.deadline:
                return OVER
            if now - start - waited > limits.seconds:
                return f"stopped after {limits.seconds:.0f} s, not finished"
            if samples[-1].memory.resident > limits.resident:
                return (
                    f"stopped after {now - start:.0f} s at {limits.resident / 1e9:.1f} GB of "
                    "resident memory, not finished"
                )
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _read(record: Mapping[str, Any], seconds: float, samples: list[Sample]) -> Outcome:
    spans = {}
    for name, stored in record["spans"].items():
        before, peak = Memory(*stored["before"]), Memory(*stored["peak"])
        within = [s.memory for s in samples if stored["start"] <= s.at <= stored["end"]]
        peak = Memory(
            max([peak.resident, *(m.resident for m in within)]),
            max([peak.anonymous, *(m.anonymous for m in within)]),
        )
        spans[name] = Span(stored["start"], stored["end"], before, peak)
    return Outcome(record["error"], seconds, record["peak"], spans, record["result"])


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    # The folder that this package was imported from: it may not be installed.
    path = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_SETTINGS, "PYTHONPATH": os.pathsep.join(path), **settings}


def _death(status: int, log: list[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    if status < 0:
        return f"killed by {signal.Signals(-status).name}: {last}"
    return f"ended with status {status}: {last}"
