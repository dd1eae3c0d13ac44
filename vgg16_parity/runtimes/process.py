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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import Backend, Runtime
from vgg16_spec import layouts

# What to compute of each case: the logits; every tap; every tap and each layer alone.
Depth = Literal["logits", "taps", "layers"]
# What a worker leaves of a case. Of a run: its taps, and its layers alone. Of a backward pass: the
# taps that a ReLU ends, the gradients, and the parameters and their velocity after a step of SGD.
Result = Literal["accumulated", "local", "branch", "gradients", "parameters", "velocity"]

# How the error of a worker that exceeded its time begins.
STOPPED: Final = "the worker was stopped after"

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


@dataclass(frozen=True)
class ArrayFolder(Mapping[str, NDArray[Any]]):
    """A folder's arrays by name, in the order in which they were written; empty without a folder.

    Each read maps the file anew: the pages of a file that stays mapped count as this process's
    memory. The files are numbered, since a user's port may call its taps anything.
    """

    path: Path

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays into the new folder, with a copy of one of them at most."""
        self.path.mkdir()
        for index, values in enumerate(arrays.values()):
            np.save(self.path / f"{index}.npy", layouts.contiguous(values), allow_pickle=False)
        (self.path / "names.json").write_text(json.dumps(list(arrays)), encoding="utf-8")

    def __getitem__(self, name: str) -> NDArray[Any]:
        index = {known: index for index, known in enumerate(self)}[name]
        path = self.path / f"{index}.npy"
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def __iter__(self) -> Iterator[str]:
        file = self.path / "names.json"
        return iter(json.loads(file.read_text(encoding="utf-8")) if file.exists() else ())

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Job:
    """What a worker process does; paths are absolute.

    Attributes:
        task: run the network on the cases; export the runtime's graph; or compute the gradients of
            the cases and take a step of SGD.
        runtime: what computes.
        lane: the lane's name.
        checkpoint: the canonical checkpoint.
        folder: where the worker leaves ``record.json`` and its results; it creates the folder.
        device: where it computes. An export needs the CPU only, wherever its graph will run.
        cases: folders, as ``onnx_arbiter.expectations`` writes them.
        probes: the folder of every layer's dense inputs, as ``vgg16_parity.network.probes`` writes
            it; empty without.
        depth: what to compute of each case in a run.
        model: the folder of the exported graph, for a runtime that runs one.
    """

    task: Literal["run", "export", "gradients"]
    runtime: Runtime
    lane: str
    checkpoint: str
    folder: str
    device: Device = "cpu"
    cases: tuple[str, ...] = ()
    probes: str = ""
    depth: Depth = "layers"
    model: str = ""

    def result(self, case: str, kind: Result) -> ArrayFolder:
        """A result of a case."""
        return ArrayFolder(Path(self.folder) / f"{Path(case).name}.{kind}")

    def to_text(self) -> str:
        """As JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Job:
        """The inverse of `to_text`."""
        values = json.loads(text)
        runtime, cases = Runtime(**values["runtime"]), tuple(values["cases"])
        return cls(**values | {"runtime": runtime, "cases": cases})


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
        own_mode: the numeric mode that the runtime computes in where it is not its lane's; absent
            where it is.
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
    own_mode: str = field(default="", metadata={"may be absent": True})


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


def work(job: Job, *, timeout: float | None = None) -> Record:
    """Do a job in a worker process; if that dies or takes too long, the record has the error.

    Args:
        job: its folder is created here.
        timeout: seconds before the worker is killed; None waits indefinitely.
    """
    folder = Path(job.folder)
    folder.mkdir()
    log_file = folder / "log.txt"
    with log_file.open("wb") as output:
        try:
            status = subprocess.run(
                # -P: a file torch.py in the user's folder is not PyTorch.
                [sys.executable, "-P", "-m", "vgg16_parity.runtimes.worker", job.to_text()],
                env=environment(job),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=timeout,
            ).returncode
        except subprocess.TimeoutExpired:
            return Record(error=f"{STOPPED} {timeout:g} s")
    log = log_file.read_text("utf-8", "replace")
    record = _record(folder / "record.json")
    if record is None or (status and not record.error):
        # Some libraries exit if they find no driver or a wrong one. A process killed from outside
        # ended for another reason, whatever it had printed.
        without = not _killed_by_linux(status) and unusable(job.device, log)
        return Record(error=_death(status, log.splitlines()), unavailable=without)
    if not record.error and (problem := _not_left(job)):
        return replace(record, error=problem)
    return record


def _record(file: Path) -> Record | None:
    """What a worker reports; None where it did not come to that, or not to the end."""
    try:
        return Record(**json.loads(file.read_text(encoding="utf-8")))
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
    if job.task == "export":
        return {}
    expected: dict[Result, list[str]] = {"accumulated": cases}
    if job.depth == "layers" and not job.runtime.port:
        expected["local"] = [*cases, *filter(None, [job.probes])]
    return expected


def environment(job: Job) -> dict[str, str]:
    """The variables of the worker's process."""
    # This package's own folder comes first, before a user's `export/` on the path.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {"PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
    frameworks = framework_environment(job.runtime.keras_backend, job.device)
    return os.environ | ours | frameworks | LANES[job.lane].environment


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
        variables |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
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
