"""Worker processes forked from one that has imported their framework already.

A worker of the project imports its framework anew, which takes seconds; on the tiny network it
computes for a fraction of one. The tests start hundreds. Those that run the commands in processes
of their own start real workers.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Final

from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.worker import loader
from vgg16_parity.runtimes.worker import main as work
from vgg16_spec.files.apart import end_with_parent

# A process with a framework takes half a gigabyte.
MOST_AT_A_TIME: Final = 6
# Read when they are used, not when a framework is imported.
_READ_LATE: Final = ("VGG16_", "PYTEST_", "TMPDIR", "COLUMNS", "HOME", "PWD")

run_anew = process.run_worker
_replaceable = (subprocess.run, process.command, process.environment)


class WarmWorkers:
    """Runs jobs as `process.run_worker` does, in forks of warm processes where that is the same."""

    def __init__(self) -> None:
        self._before = _read_early(os.environ)
        self._servers: OrderedDict[str, _Server] = OrderedDict()

    def __call__(self, job: Job, output: IO[bytes], timeout: float | None) -> int:
        """The exit status of a job's worker. Raises ``TimeoutExpired``."""
        if not self._are_the_same(job):
            return run_anew(job, output, timeout)
        environment = process.own_environment(job)
        key = json.dumps([job.task == "export", job.runtime.name, environment], sort_keys=True)
        if key not in self._servers:
            while len(self._servers) >= MOST_AT_A_TIME:
                self._servers.popitem(last=False)[1].close()
            self._servers[key] = _Server(job)
        self._servers.move_to_end(key)
        return self._servers[key].run(job, output, timeout)

    def close(self) -> None:
        """End the warm processes."""
        while self._servers:
            self._servers.popitem()[1].close()

    def _are_the_same(self, job: Job) -> bool:
        """Whether a fork does what a new process would: nothing decides what is imported anew."""
        replaced = (subprocess.run, process.command, process.environment) != _replaceable
        foreign = job.runtime.port or job.runtime.engine or job.runtime.file
        changed = _read_early(os.environ) != self._before
        return sys.platform == "linux" and not (replaced or foreign or changed)


def _read_early(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith(_READ_LATE)}


class _Server:
    """A warm process: it forks for each job that it is given."""

    def __init__(self, job: Job) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, job.to_text()],
            env=process.environment(job),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def run(self, job: Job, output: IO[bytes], timeout: float | None) -> int:
        given, said = self._process.stdin, self._process.stdout
        assert given is not None
        assert said is not None
        order = _Order(job.to_text(), process.environment(job), str(Path.cwd()), output.name)
        given.write(json.dumps(asdict(order)).encode() + b"\n")
        worker = int(said.readline())
        ended, _, _ = select.select([said], [], [], timeout)
        if not ended:
            os.kill(worker, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(int(said.readline()))
        if not ended:
            raise subprocess.TimeoutExpired(process.command(job), timeout or 0.0)
        return status

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class _Order:
    """A job, and the environment, folder and log file of the process that does it."""

    job: str
    environment: dict[str, str]
    folder: str
    log: str


def serve(text: str) -> None:
    """Import what a job needs; then fork for each line of stdin, and print how the fork ended.

    It ends with its stdin. Linux's signal at the parent's end would come at the end of the thread
    that started this process.
    """
    first = Job.of_text(text)
    if first.task == "export":
        import_module("export.session")
        import_module(first.runtime.keras_backend or "torch")
    else:
        loader(first.runtime)
    for line in sys.stdin:
        order = _Order(**json.loads(line))
        sys.stdout.flush()
        worker = os.fork()
        if not worker:
            os._exit(_begin(order))
        print(worker, flush=True)
        print(os.waitpid(worker, 0)[1], flush=True)


def _begin(order: _Order) -> int:
    end_with_parent()
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order.log, os.O_WRONLY | os.O_APPEND),
    ):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    try:
        return work(order.job)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
