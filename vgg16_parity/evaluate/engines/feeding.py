"""A worker process that is fed with shards as they come, where nobody knows which ones will."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from vgg16_parity.evaluate.identity import runtime_facts
from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.process import (
    command,
    ended,
    environment,
    left_record,
    limited_threads,
    log_file,
    stopped,
)
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.runtimes.shards import Plan
from vgg16_spec.errors import BadInput, few

_POLL_SECONDS: Final = 0.02
# How many shards a process computes before another takes its place; its plan lists as many.
_MOST: Final = 10_000
_THREADS: Final = "OMP_NUM_THREADS"


class WorkerEnded(Exception):
    """A worker that computes no more; ``record`` says why."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.error)
        self.record = record


@dataclass(frozen=True)
class Feed:
    """What a worker computes, wherever it runs.

    Attributes:
        job: without its paths.
        plan: without shards.
        facts: what computes, as ``vgg16_parity.evaluate.identity`` finds it where the run started.
        threads: in how many it computes, at most.
        own_threads: the user's own OMP_NUM_THREADS; empty without one.
        timeout: seconds that it may take; None waits indefinitely.
    """

    job: Job
    plan: Plan
    facts: Mapping[str, Any]
    threads: int
    own_threads: str
    timeout: float | None

    def environment(self) -> dict[str, str]:
        """The variables of the worker's process: those of the plain engine's on this machine.

        Only where it is to compute in fewer threads than there are processors, it is told so.
        """
        variables = environment(self.job)
        # Ray sets it to the number of an actor's processors.
        variables.pop(_THREADS, None)
        if self.own_threads:
            variables[_THREADS] = self.own_threads
        elif self.threads < cores():
            variables |= limited_threads(self.threads)
        return variables


class FedWorker:
    """The process; started with the first shard.

    Args:
        feed: what it computes.
        place: an empty folder of its own, where the job's files are.
    """

    def __init__(self, feed: Feed, place: Path) -> None:
        self._feed, self._place = feed, place
        self._process: subprocess.Popen[bytes] | None = None
        self._job = feed.job
        self._started, self._deadline, self._count = 0, float("inf"), 0

    def compute(self, pixels: bytes) -> tuple[bytes, Record]:
        """Of a ``.npy`` file's pixels the one of logits, and what the process reports so far.

        Raises ``WorkerEnded`` where it cannot compute them.
        """
        if self._process is None or self._count == _MOST:
            self.close()
            self._start()
        given, result = self._files(self._count)
        self._count += 1
        # The worker looks for the name.
        partial = given.with_suffix(".part")
        partial.write_bytes(pixels)
        partial.rename(given)
        self._wait(result)
        logits = result.read_bytes()
        given.unlink()
        result.unlink()
        return logits, left_record(self._job) or Record()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._refuse_what_differs()
        self._started, self._count = self._started + 1, 0
        run = self._place / f"run{self._started}"
        plan = self._place / f"plan{self._started}.json"
        self._job = replace(self._feed.job, folder=str(run), plan=str(plan))
        run.mkdir()
        feed = self._feed
        files = (self._files(index) for index in range(_MOST))
        pairs = tuple((str(given), str(result)) for given, result in files)
        replace(feed.plan, shards=pairs).write(plan)
        if feed.timeout is not None:
            self._deadline = time.monotonic() + feed.timeout
        with log_file(self._job).open("wb") as output:
            self._process = subprocess.Popen(
                command(self._job),
                env=feed.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _files(self, index: int) -> tuple[Path, Path]:
        folder = Path(self._job.folder)
        return folder / f"pixels{index}.npy", folder / f"logits{index}.npy"

    def _wait(self, result: Path) -> None:
        assert self._process is not None
        while not result.exists():
            status = self._process.poll()
            if status is not None and not result.exists():
                record = ended(self._job, status)
                if not record.error:
                    record = replace(record, error="the worker left not every result")
                raise WorkerEnded(record)
            if time.monotonic() > self._deadline:
                raise WorkerEnded(stopped(self._feed.timeout or 0.0))
            time.sleep(_POLL_SECONDS)

    def _refuse_what_differs(self) -> None:
        """Raise ``WorkerEnded`` where this machine would compute something else than asked for."""
        runtime, device = self._feed.job.runtime, self._feed.job.device
        where = f"on {os.uname().nodename}"
        if reason := runtime.missing(device):
            raise WorkerEnded(Record(error=f"{reason} ({where})", unavailable=True))
        try:
            facts = _as_json(runtime_facts(runtime))
        except BadInput as error:  # a user's own file is on another machine
            raise WorkerEnded(Record(error=f"{where}: {error}")) from error
        if facts != (wanted := _as_json(self._feed.facts)):
            raise WorkerEnded(Record(error=_difference(runtime, where, facts, wanted)))


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(facts)))
    return found


def _difference(
    runtime: Runtime, where: str, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> str:
    versions = {**wanted["versions"], **found["versions"]}
    differing = [
        f"{name} {found['versions'].get(name, '(none)')}, not {wanted['versions'].get(name, 'any')}"
        for name in versions
        if found["versions"].get(name) != wanted["versions"].get(name)
    ]
    if differing:
        return f"there is {few(differing)} {where}"
    return f"{runtime.name} is another one {where}"
