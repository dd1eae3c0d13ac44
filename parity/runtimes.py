"""The runtimes: what each needs, and running one in a process of its own.

A process each, because a Keras backend is chosen when Keras is imported, because two frameworks in
one process want the memory of both, and because a process tells its own peak memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from export.interface import Framework
from vgg16.errors import BadInput
from vgg16.preprocessing import Layout

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """One way of computing the network.

    Parameters
    ----------
    name: what it is called on the command line and in reports.
    framework: which implementation computes it, or exports the graph that does.
    backend: Keras's backend where Keras takes part; empty elsewhere.
    onnx: whether an exported graph is run, by ONNX Runtime.
    modules: the Python modules that it needs.
    extras: what of this project to install to have them.
    """

    name: str
    framework: Framework
    backend: str
    onnx: bool
    modules: tuple[str, ...]
    extras: str

    def missing(self) -> str:
        """Why the runtime cannot run here, with the remedy; empty where it can."""
        return missing(self.modules, self.extras)


def missing(modules: Sequence[str], extras: str) -> str:
    """Which modules are not installed, with the remedy; empty where all are."""
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f'{" and ".join(absent)} {verb} not installed: pip install -e ".[{extras}]"'


RUNTIMES: Final = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime("torch", "torch", "", False, ("torch",), "torch"),
            Runtime(
                "keras-tensorflow", "keras", "tensorflow", False, ("keras", "tensorflow"), "keras"
            ),
            Runtime("keras-jax", "keras", "jax", False, ("keras", "jax"), "jax"),
            Runtime("keras-torch", "keras", "torch", False, ("keras", "torch"), "keras,torch"),
            Runtime(
                "onnx-from-keras",
                "keras",
                "tensorflow",
                True,
                ("keras", "tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxscript", "onnxruntime"),
                "keras,onnx",
            ),
            Runtime(
                "onnx-from-torch",
                "torch",
                "",
                True,
                ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime"),
                "torch,onnx",
            ),
        )
    }
)


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises ``BadInput`` for another name."""
    if name not in RUNTIMES:
        raise BadInput("runtime", f"{name!r} is unknown", f"one of {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def installed() -> list[Runtime]:
    """The runtimes that can run here."""
    return [candidate for candidate in RUNTIMES.values() if not candidate.missing()]


@dataclass(frozen=True)
class Job:
    """What a worker process is told; paths are absolute.

    Parameters
    ----------
    task: ``run`` a runtime on images, or ``export`` its graph first.
    runtime: the runtime's name.
    checkpoint: the canonical checkpoint.
    folder: where the worker leaves ``record.json`` and, for ``run``, ``taps.safetensors``.
    images: a safetensors file with ``images``, (N, 3, H, W); for ``run``.
    model: the exported folder, for an ``onnx-from-…`` runtime.
    layout: of the exported graph's input.
    device: where to run.
    """

    task: Literal["run", "export"]
    runtime: str
    checkpoint: str
    folder: str
    images: str = ""
    model: str = ""
    layout: Layout = "nchw"
    device: Device = "cpu"


@dataclass(frozen=True)
class Record:
    """What a worker process tells.

    Parameters
    ----------
    error: why it failed, in one line; empty where it did not.
    unavailable: whether what failed is a device that is not there.
    versions: package -> version.
    device: what it ran on.
    threads: the number of threads it was free to use.
    mode: the numeric mode.
    seconds: stage -> seconds.
    peak_bytes: the most memory the process held, mapped files included; 0 where not known.
    """

    error: str = ""
    unavailable: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    mode: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0


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


def work(job: Job) -> Record:
    """Do a job in a worker process; a worker that dies is a record with an error."""
    folder = Path(job.folder)
    folder.mkdir()
    job_file, log_file = folder / "job.json", folder / "log.txt"
    job_file.write_text(json.dumps(asdict(job)), encoding="utf-8")
    with log_file.open("wb") as log:
        status = subprocess.run(
            # -P: a file torch.py in the user's folder is not PyTorch.
            [sys.executable, "-P", "-m", "parity.worker", str(job_file)],
            env=_environment(runtime(job.runtime), job.device),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    record_file = folder / "record.json"
    if status < 0 or not record_file.exists():
        return Record(error=_death(status, log_file.read_text("utf-8", "replace").splitlines()))
    return Record(**json.loads(record_file.read_text(encoding="utf-8")))


def _environment(chosen: Runtime, device: Device) -> dict[str, str]:
    # The folder that this package was imported from, for where it is not installed.
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings: dict[str, str] = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUTF8": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if chosen.backend:
        settings["KERAS_BACKEND"] = chosen.backend
    if device == "cpu":
        # Frameworks that find a GPU take it unless it is hidden from them.
        settings |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return os.environ | settings


def _death(status: int, log: Sequence[str]) -> str:
    last = next((line.strip() for line in reversed(log) if line.strip()), "it printed nothing")
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"the worker {how}: {last}"
