"""Running one runtime in a process of its own.

A process each, because a Keras backend is chosen when Keras is imported, because two frameworks in
one process want the memory of both, and because a process tells its own peak memory.
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
from typing import Final, Literal

from vgg16_parity.runtimes.devices import unusable
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import Runtime

# What a worker is asked for: logits; every tap; every tap and each layer alone.
Depth = Literal["logits", "taps", "layers"]
# What a worker leaves of a case: its taps, its layers alone; and where gradients are asked for, the
# taps with a ReLU of that pass, the gradients, and the parameters and their velocity after a step.
Result = Literal["accumulated", "local", "branch", "gradients", "parameters", "velocity"]


# How the error of a worker begins that took longer than it was given.
STOPPED: Final = "the worker was stopped after"


@dataclass(frozen=True)
class Job:
    """What a worker process is told; paths are absolute.

    Attributes:
        task: ``run`` a runtime on cases, ``export`` its graph first, or find the ``gradients`` of
            one case and take a step of SGD.
        runtime: what runs.
        lane: the lane's name.
        device: where to run.
        checkpoint: the canonical checkpoint.
        folder: where the worker leaves ``record.json`` and, for ``run``, its results.
        cases: the folders of the cases, as ``onnx_arbiter.expectations`` writes them; for
            ``run``.
        depth: what to give of each case.
        model: the exported folder, for a runtime that runs one.
    """

    task: Literal["run", "export", "gradients"]
    runtime: Runtime
    lane: str
    device: Device
    checkpoint: str
    folder: str
    cases: tuple[str, ...] = ()
    depth: Depth = "logits"
    model: str = ""

    def result(self, case: str, kind: Result) -> Path:
        """The safetensors file of what a worker made of a case."""
        return Path(self.folder) / f"{Path(case).name}.{kind}.safetensors"


def read_job(path: Path) -> Job:
    """A job that was written to a file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    runtime = values["runtime"]
    runtime["modules"] = tuple(runtime["modules"])
    return Job(**values | {"runtime": Runtime(**runtime), "cases": tuple(values["cases"])})


@dataclass(frozen=True)
class Record:
    """What a worker process tells.

    Attributes:
        error: why it failed, in one line; empty where it did not.
        unavailable: whether what failed is a device, or a precision, that is not there.
        versions: package -> version.
        device: what it ran on.
        threads: the number of threads it was free to use.
        flags: the framework's own switches that decide how it computes.
        seconds: stage -> seconds.
        peak_bytes: the most memory the process held, mapped files included; 0 where not known.
        repeats: whether the first case gave the same bits when it was run again; empty where it was
            not, as in every lane but the strict one.
        differs_from: the first tap that gave others; empty where none did.
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
    """The most memory that this process has held, in bytes, mapped files included."""
    # Linux's own figure first: getrusage's includes the parent's before the fork.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def work(job: Job, *, timeout: float | None = None) -> Record:
    """Do a job in a worker process; one that dies, or takes too long, is a record with an error.

    Args:
        job: the job; its folder is made here.
        timeout: seconds after which the worker is killed; none waits for ever.
    """
    folder = Path(job.folder)
    folder.mkdir()
    job_file, log_file = folder / "job.json", folder / "log.txt"
    job_file.write_text(json.dumps(asdict(job)), encoding="utf-8")
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
        # Some libraries end the process where they find no driver, or not the one they want; killed
        # from outside it was for another reason, whatever it had printed.
        killed = sys.platform == "linux" and status == -signal.SIGKILL
        without = not killed and unusable(used(job), log)
        return Record(error=_death(status, log.splitlines()), unavailable=without)
    return Record(**json.loads(record_file.read_text(encoding="utf-8")))


def environment(job: Job) -> dict[str, str]:
    """The variables of the worker's process."""
    # The folder that this package was imported from, for where it is not installed.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUTF8": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if job.runtime.backend:
        settings["KERAS_BACKEND"] = job.runtime.backend
    if used(job) == "cpu":
        # Frameworks that find a GPU take it unless it is hidden from them.
        settings |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return os.environ | settings | LANES[job.lane].environment


def used(job: Job) -> Device:
    """The device that a job needs: a graph is exported on the CPU, wherever it will run."""
    return "cpu" if job.task == "export" else job.device


def _death(status: int, log: Sequence[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    if sys.platform == "linux" and status == -signal.SIGKILL:
        # Nobody else kills so: the kernel does, where memory is short.
        return f"the worker was killed by signal 9, as where memory runs out: {last}"
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"the worker {how}: {last}"
