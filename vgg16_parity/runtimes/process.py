"""Running one runtime in a process of its own.

One process per runtime: a Keras backend is chosen when Keras is imported, two frameworks in one
process need the memory of both, and a process can report its own peak memory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from vgg16_parity.runtimes.adapters.framework import THREADS
from vgg16_parity.runtimes.job import Job, Record, Result
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import Backend

# How the error of a worker that exceeded its time begins.
STOPPED: Final = "the worker was stopped after"

_PREALLOCATE: Final = "XLA_PYTHON_CLIENT_PREALLOCATE"

# What the CUDA runtime, cuDNN, cuBLAS and the frameworks say where a GPU is missing, too old or too
# new for what they were built for, taken, out of memory, or where its driver or libraries are.
_UNUSABLE: Final = re.compile(
    "|".join(
        (
            "no kernel image is available",
            "no CUDA-capable device",
            "no (?:NVIDIA|CUDA) (?:driver|device|GPU)",
            "driver (?:version is insufficient|on your system is too old)",
            "forward compatibility was attempted",
            "devices? (?:is|are|is/are) (?:busy|unavailable|busy or unavailable)",
            "system not yet initialized",
            "CUDA unknown error",
            "unsupported (?:GPU|PTX|toolchain)",
            "CU(?:DNN|BLAS)_STATUS_(?:NOT_INITIALIZED|ALLOC_FAILED|ARCH_MISMATCH)",
            r"CUDNN_STATUS_SUBLIBRARY_\w+",
            r"lib(?:cuda|cudart|cudnn|cublas|cufft|nvrtc)\w*\.so[.\d]*: cannot open",
            "DNN library (?:is not found|initialization failed)",
            "CUDA out of memory",
            "out of memory.*(?:GPU|CUDA|device)|(?:GPU|CUDA|device).*out of memory",
            "RESOURCE_EXHAUSTED",
            "CUDA_ERROR_(?:OUT_OF_MEMORY|NO_DEVICE|INVALID_DEVICE|SYSTEM_DRIVER_MISMATCH)",
        )
    ),
    re.IGNORECASE,
)


def work(job: Job, *, timeout: float | None = None) -> Record:
    """Do a job in a worker process; if that dies or takes too long, the record has the error.

    Args:
        job: its folder is created here.
        timeout: seconds before the worker is killed; None waits indefinitely.
    """
    Path(job.folder).mkdir()
    with log_file(job).open("wb") as output:
        try:
            status = run_worker(job, output, timeout)
        except subprocess.TimeoutExpired:
            return stopped(timeout or 0.0)
    return ended(job, status)


def run_worker(job: Job, output: IO[bytes], timeout: float | None) -> int:
    """The exit status of a job's worker, which prints into an open file.

    Raises ``subprocess.TimeoutExpired`` after ``timeout`` seconds.
    """
    return subprocess.run(
        command(job),
        env=environment(job),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=timeout,
    ).returncode


def command(job: Job) -> list[str]:
    """What starts a job's worker."""
    # -P: a file torch.py in the user's folder is not PyTorch.
    return [sys.executable, "-P", "-m", "vgg16_parity.runtimes.worker", job.to_text()]


def log_file(job: Job) -> Path:
    """Where what a worker prints is kept."""
    return Path(job.folder) / "log.txt"


def stopped(timeout: float) -> Record:
    """The record of a worker that took longer than so many seconds."""
    return Record(error=f"{STOPPED} {timeout:g} s")


def ended(job: Job, status: int) -> Record:
    """What a worker that ended with a status has to report; if that is nothing, why not."""
    log = log_file(job).read_text("utf-8", "replace")
    record = left_record(job)
    if record is None or (status and not record.error):
        # Some libraries exit if they find no driver or a wrong one. A process killed from outside
        # ended for another reason, whatever it had printed.
        without = not _killed_by_linux(status) and unusable(job.device, log)
        return Record(error=_death(status, log.splitlines()), unavailable=without)
    if not record.error and (problem := _not_left(job)):
        return replace(record, error=problem)
    return record


def left_record(job: Job) -> Record | None:
    """What a worker reports; None where it did not come to that, or not to the end."""
    try:
        text = (Path(job.folder) / "record.json").read_text(encoding="utf-8")
        return Record(**json.loads(text))
    except (FileNotFoundError, ValueError):
        return None


def _not_left(job: Job) -> str:
    """Which results a worker that reports no error has not left whole; empty if it left all.

    Of a user's own port the taps are its own choice, and so they are not looked at by name.
    """
    for kind, cases in _expected(job).items():
        first: list[str] = []
        for case in cases:
            found = job.result(case, kind)
            what = f"results ({kind} of {found.path.stem})"
            try:
                names = list(found)
                shapes = [found[name].shape for name in names]
            except (OSError, ValueError) as error:
                return f"the worker left damaged {what}: {error}"
            if not shapes:
                return f"the worker left no {what}"
            first = first or names
            if names != first and not job.runtime.port:
                odd = ", ".join(sorted({*names} ^ {*first})) or "another order"
                return f"the worker left other {what} than of the first case: {odd}"
    return ""


def _expected(job: Job) -> dict[Result, list[str]]:
    """What a worker leaves if it does the whole job: kind -> the cases of which it is left."""
    cases = list(job.cases)
    if job.task == "gradients":
        return dict.fromkeys(("branch", "gradients", "parameters", "velocity"), cases)
    if job.task in ("export", "shards"):
        return {}
    expected: dict[Result, list[str]] = {"accumulated": cases}
    if job.depth == "layers" and not job.runtime.port:
        expected["local"] = [*cases, *filter(None, [job.probes])]
    return expected


def environment(job: Job) -> dict[str, str]:
    """The variables of the worker's process."""
    return os.environ | own_environment(job)


def own_environment(job: Job) -> dict[str, str]:
    """Those that differ from this process's."""
    frameworks = framework_environment(job.runtime.keras_backend, job.device)
    lane = LANES[job.lane].environment
    return package_path() | {"PYTHONUTF8": "1"} | frameworks | lane


def package_path() -> dict[str, str]:
    """The variable by which another process finds this package."""
    # Its own folder comes first, before a user's `export/` on the path.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def limited_threads(threads: int) -> dict[str, str]:
    """The variables that have a worker compute in so many threads, not in one per processor.

    OpenVINO has no such variable.
    """
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC", "PJRT_NPROC", THREADS)
    return dict.fromkeys(names, str(threads))


def framework_environment(backend: Backend | None, device: Device = "cpu") -> dict[str, str]:
    """The variables to set before any framework is imported.

    Args:
        backend: Keras's; None leaves the user's choice.
        device: on ``cpu`` a GPU is hidden, since frameworks reserve one that they find.
    """
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend is not None:
        variables["KERAS_BACKEND"] = backend
    if device == "cpu":
        return variables | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    # JAX would reserve three quarters of the GPU's memory, also beside another worker.
    variables[_PREALLOCATE] = os.environ.get(_PREALLOCATE, "false")
    return variables


def unusable(device: Device, said: str) -> bool:
    """Whether a failure means that the device cannot be used, not that a runtime is wrong.

    ``said`` is the error's text, or what a process that died printed. The CPU is always usable.
    """
    return device == "cuda" and _UNUSABLE.search(said) is not None


def _death(status: int, log: Sequence[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    if _killed_by_linux(status):
        how += ", as where memory runs out"
    return f"the worker {how}: {last}"


def _killed_by_linux(status: int) -> bool:
    return sys.platform == "linux" and status == -signal.SIGKILL
