"""Running one runtime in a process of its own.

One process per runtime: a Keras backend is chosen when Keras is imported, two frameworks in one
process need the memory of both, and a process can report its own peak memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal

from vgg16_parity.runtimes.devices import unusable
from vgg16_parity.runtimes.environment import environment as framework_environment
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import Runtime

# What to compute of each case: the logits; every tap; every tap and each layer alone.
Depth = Literal["logits", "taps", "layers"]
# What a worker leaves of a case. A RunJob: its taps, and its layers alone. A GradientJob: the taps
# that a ReLU ends, the gradients, and the parameters and their velocity after a step of SGD.
Result = Literal["accumulated", "local", "branch", "gradients", "parameters", "velocity"]

# How the error of a worker that exceeded its time begins.
STOPPED: Final = "the worker was stopped after"


@dataclass(frozen=True)
class Job:
    """What every worker process needs; paths are absolute.

    Attributes:
        runtime: what computes.
        lane: the lane's name.
        checkpoint: the canonical checkpoint.
        folder: where the worker leaves ``record.json`` and its results.
    """

    runtime: Runtime
    lane: str
    checkpoint: str
    folder: str

    def result(self, case: str, kind: Result) -> Path:
        """The safetensors file with a result of a case."""
        return Path(self.folder) / f"{Path(case).name}.{kind}.safetensors"


@dataclass(frozen=True)
class RunJob(Job):
    """Run the network on cases.

    Attributes:
        device: where to run it.
        cases: folders, as ``onnx_arbiter.expectations`` writes them.
        depth: what to compute of each case.
        model: the folder of the exported graph, for a runtime that runs one.
    """

    device: Device
    cases: tuple[str, ...]
    depth: Depth
    model: str | None = None


@dataclass(frozen=True)
class ExportJob(Job):
    """Export the runtime's graph into the folder ``model``; on the CPU, wherever it will run."""

    device: ClassVar[Device] = "cpu"
    model: str


@dataclass(frozen=True)
class GradientJob(Job):
    """Compute the gradients of one case, a folder, and take a step of SGD."""

    device: Device
    case: str


AnyJob = RunJob | ExportJob | GradientJob
_TASKS: Final = {kind.__name__: kind for kind in (RunJob, ExportJob, GradientJob)}


def write_job(job: AnyJob, path: Path) -> None:
    """Write a job to a file for `read_job`."""
    path.write_text(json.dumps({"task": type(job).__name__} | asdict(job)), encoding="utf-8")


def read_job(path: Path) -> AnyJob:
    """The job that was written to a file, of its own class."""
    values = json.loads(path.read_text(encoding="utf-8"))
    kind = _TASKS[values.pop("task")]
    if kind is RunJob:
        values["cases"] = tuple(values["cases"])
    job: AnyJob = kind(**values | {"runtime": Runtime(**values["runtime"])})
    return job


@dataclass(frozen=True)
class Record:
    """What a worker process reports.

    Attributes:
        error: why it failed, in one line; empty if it did not.
        unavailable: whether the reason is a device or a precision that is not available.
        versions: package -> version.
        device: what it ran on.
        threads: how many threads it was free to use.
        flags: the framework's own switches that decide how it computes.
        seconds: stage -> seconds.
        peak_bytes: the process's peak memory, mapped files included; 0 if unknown.
        repeats: whether a second run of the first case gave the same bits; empty in every lane but
            the strict one, which alone is run twice.
        differs_from: the first tap with other bits; empty if there is none.
    """

    error: str = ""
    unavailable: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    flags: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    repeats: Literal["", "equal", "differs"] = ""
    differs_from: str = ""


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


def work(job: AnyJob, *, timeout: float | None = None) -> Record:
    """Do a job in a worker process; if that dies or takes too long, the record has the error.

    Args:
        job: its folder is created here.
        timeout: seconds before the worker is killed; None waits indefinitely.
    """
    folder = Path(job.folder)
    folder.mkdir()
    job_file, log_file = folder / "job.json", folder / "log.txt"
    write_job(job, job_file)
    with log_file.open("wb") as output:
        try:
            status = subprocess.run(
                # -P: a file torch.py in the user's folder is not PyTorch.
                [sys.executable, "-P", "-m", "vgg16_parity.runtimes.worker", str(job_file)],
                env=environment(job),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=timeout,
            ).returncode
        except subprocess.TimeoutExpired:
            return Record(error=f"{STOPPED} {timeout:g} s")
    record_file = folder / "record.json"
    if status < 0 or not record_file.exists():
        log = log_file.read_text("utf-8", "replace")
        # Some libraries exit if they find no driver or a wrong one. A process killed from outside
        # ended for another reason, whatever it had printed.
        killed = sys.platform == "linux" and status == -signal.SIGKILL
        without = not killed and unusable(job.device, log)
        return Record(error=_death(status, log.splitlines()), unavailable=without)
    return Record(**json.loads(record_file.read_text(encoding="utf-8")))


def environment(job: AnyJob) -> dict[str, str]:
    """The variables of the worker's process."""
    # This package's own folder comes first, before a user's `export/` on the path.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {"PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
    frameworks = framework_environment(job.runtime.keras_backend, job.device)
    return os.environ | ours | frameworks | LANES[job.lane].environment


def _death(status: int, log: Sequence[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    if sys.platform == "linux" and status == -signal.SIGKILL:
        # The kernel's signal when memory runs out.
        return f"the worker was killed by signal 9, as where memory runs out: {last}"
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"the worker {how}: {last}"
