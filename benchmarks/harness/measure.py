"""Time and memory of a piece of work, in a process of its own.

The process that measures starts a worker (``run``) and samples its memory from outside every few
milliseconds: a thread inside would stand still whenever the work holds Python's lock. The worker
marks what is measured (``Recorder.span``), on the clock that all processes of a machine share.

Memory is counted twice. *Resident* is everything of the process that is in memory, the pages of
mapped input files included (VmHWM and VmRSS of Linux). *Anonymous* is without those (RssAnon): what
nobody else has and what the kernel cannot drop and read again.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from vgg16_parity.runtimes.process import peak_memory

_INTERVAL: Final = 0.005  # seconds between two samples
_ROOT: Final = Path(__file__).parents[2]
_SETTINGS: Final = {"PYTHONUTF8": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_WITHOUT_GPU: Final = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


class Memory(NamedTuple):
    """Bytes of a process that are in memory now; zeros where the system does not tell."""

    resident: int
    anonymous: int


class Sample(NamedTuple):
    """A process's memory at a moment, in seconds of ``time.monotonic``."""

    at: float
    memory: Memory


@dataclass(frozen=True)
class Limits:
    """What a worker may use before it is stopped, in seconds and in bytes of resident memory."""

    seconds: float
    resident: int


@dataclass(frozen=True)
class Span:
    """One measured piece of work.

    Attributes:
        start, end: seconds of ``time.monotonic``.
        before: the process's memory when it began, as (resident, anonymous) bytes.
        peak: the most of each in between; anonymous memory as the samples saw it.
    """

    start: float
    end: float
    before: Memory
    peak: Memory

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def above(self) -> Memory:
        """The peaks above what the process held when it began, in bytes."""
        return Memory(*(max(0, p - b) for p, b in zip(self.peak, self.before, strict=True)))


@dataclass(frozen=True)
class Outcome:
    """What became of a worker.

    Attributes:
        error: why it failed or was stopped, in one line; empty where it did not.
        seconds: from its start to its end, imports included.
        peak: the most resident memory that the process held, in bytes, imports included.
        spans: name -> what was measured.
        result: what the worker tells.
    """

    error: str = ""
    seconds: float = 0.0
    peak: int = 0
    spans: dict[str, Span] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


def memory(process: int | str = "self") -> Memory:
    """A process's memory, by its number; zeros where there is no such process or no ``/proc``."""
    try:
        # size, resident, and of that in files and shared memory; in pages. The rest is RssAnon.
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except (OSError, ValueError):
        return Memory(0, 0)
    page = os.sysconf("SC_PAGE_SIZE")
    return Memory(int(resident) * page, (int(resident) - int(shared)) * page)


class Recorder:
    """The worker's side: what it measured, and what it has to tell besides."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.result: dict[str, Any] = {}
        self._peak = 0

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        gc.collect()
        self._peak = max(self._peak, peak_memory())
        # Linux forgets the peak: otherwise one of the imports would hide a lower one of the work.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before, start = memory(), time.monotonic()
        try:
            yield
        finally:
            end = time.monotonic()
            peak = Memory(peak_memory(), max(before.anonymous, memory().anonymous))
            self.spans[name] = Span(start, end, before, peak)

    def write(self, path: Path, error: str = "") -> None:
        """Leave the record for the process that measures."""
        record = {
            "error": error,
            "peak": max(self._peak, peak_memory()),
            "spans": {name: asdict(span) for name, span in self.spans.items()},
            "result": self.result,
        }
        path.write_text(json.dumps(record), encoding="utf-8")


def serve(job_file: str, work: Mapping[str, Any]) -> int:
    """What a worker module's ``main`` does: the job's task, and a record whatever happens.

    ``work`` is task -> function of the job and of a recorder. Returns the exit status.
    """
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    recorder, error = Recorder(), ""
    try:
        work[job["task"]](job, recorder)
    except Exception as problem:  # whatever a framework raises becomes a row of the report
        error = f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"
    recorder.write(Path(job["record"]), error)
    return 1 if error else 0


def run(
    module: str,
    job: Mapping[str, Any],
    limits: Limits,
    settings: Mapping[str, str] | None = None,
    *,
    gpu: bool = False,
) -> Outcome:
    """Have a worker do a job, and measure it.

    Args:
        module: the worker, a Python module that hands its argument to ``serve``.
        job: what ``serve`` gives the worker's function; a JSON object with a ``task``.
        limits: a worker beyond them is killed, and that is its outcome.
        settings: environment variables besides this process's own.
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
            stopped = _watch(process, start, limits, samples)
            seconds = time.monotonic() - start
        seen = max((sample.memory.resident for sample in samples), default=0)
        if stopped or not record_file.exists():
            lines = log_file.read_text("utf-8", "replace").splitlines()
            return Outcome(stopped or _death(process.returncode, lines), seconds, seen)
        return _read(json.loads(record_file.read_text(encoding="utf-8")), seconds, samples)


def _watch(
    process: subprocess.Popen[bytes], start: float, limits: Limits, samples: list[Sample]
) -> str:
    """Sample a process until it ends; why it was killed, or nothing."""
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
            if now - start > limits.seconds:
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
    # The folder that this package was imported from, for where it is not installed.
    path = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_SETTINGS, "PYTHONPATH": os.pathsep.join(path), **settings}


def _death(status: int, log: list[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    if status < 0:
        return f"killed by {signal.Signals(-status).name}: {last}"
    return f"ended with status {status}: {last}"
