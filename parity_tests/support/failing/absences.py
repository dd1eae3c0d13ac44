"""Runtimes, lanes and devices that are not there, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from parity_tests.support.failing import workers
from vgg16_parity.records import Status
from vgg16_parity.runtimes.job import Job, Record


class Absence(NamedTuple):
    """What is not there, and what comes of it.

    Attributes:
        runtimes, lanes, options: of the command; runtimes are empty where none are named.
        absent: modules that are not installed.
        rows: the status of each row that is not of a runtime without its modules, by its name.
        reason: what the reason of the first row begins with that did not run.
        status: the exit status.
        gpu: whether there is one.
    """

    runtimes: str
    lanes: str
    options: tuple[str, ...]
    absent: tuple[str, ...]
    rows: dict[str, Status]
    reason: str
    status: int
    gpu: bool = False


NO_LANE: Final = "there is no such lane on cpu"
NO_GPU: Final = "PyTorch finds no usable GPU"
ON: Final = "torch, strict, "
ABSENCES: Final = {
    "a runtime that was named": Absence(
        "torch,keras-jax", "strict", (), ("jax",),
        {"torch, strict, cpu": "holds", "keras-jax, strict, cpu": "not run"},
        "jax is not installed: pip install ", 1,
    ),
    "runtimes that were not named": Absence(
        "", "strict", (), ("keras", "onnx"), {"torch, strict, cpu": "holds"},
        "keras is not installed: pip install ", 0,
    ),
    "runtimes among all": Absence(
        "all", "strict", (), ("keras", "onnx"), {"torch, strict, cpu": "holds"},
        "keras is not installed: pip install ", 0,
    ),
    "a runtime that was named beside all": Absence(
        "all,keras-jax", "strict", (), ("keras", "onnx"), {"torch, strict, cpu": "holds"},
        "keras is not installed: pip install ", 1,
    ),
    "every runtime": Absence(
        "", "strict", (), ("keras", "onnx", "torch"), {}, "torch is not installed", 1
    ),
    "every runtime among all": Absence(
        "all", "strict", (), ("keras", "onnx", "torch"), {}, "torch is not installed", 1
    ),
    "a lane": Absence("torch", "tf32", (), (), {"torch, tf32, cpu": "not run"}, NO_LANE, 1),
    "a lane of two with a runtime that was named": Absence(
        "torch", "strict,tf32", (), (), {f"{ON}cpu": "holds", "torch, tf32, cpu": "not run"},
        NO_LANE, 1,
    ),
    "a lane of two": Absence(
        "", "strict,tf32", (), ("keras", "onnx"),
        {f"{ON}cpu": "holds", "torch, tf32, cpu": "not run"}, NO_LANE, 0,
    ),
    "a lane that the CPU lacks and the GPU has": Absence(
        "torch", "tf32", ("--device", "both"), (),
        {"torch, tf32, cpu": "not run", "torch, tf32, cuda": "holds"}, NO_LANE, 0, gpu=True,
    ),
    "a GPU": Absence(
        "torch", "strict", ("--device", "cuda"), (), {f"{ON}cuda": "not run"}, NO_GPU, 1
    ),
    "a GPU, and no runtime was named": Absence(
        "", "strict", ("--device", "cuda"), ("keras", "onnx"), {f"{ON}cuda": "not run"}, NO_GPU, 1
    ),
    "a GPU beside the CPU": Absence(
        "torch", "strict", ("--device", "both"), (),
        {f"{ON}cpu": "holds", f"{ON}cuda": "not run"}, NO_GPU, 1,
    ),
    "a GPU beside the CPU, and no runtime was named": Absence(
        "", "strict", ("--device", "both"), ("keras", "onnx"),
        {f"{ON}cpu": "holds", f"{ON}cuda": "not run"}, NO_GPU, 1,
    ),
}  # fmt: skip


def without_gpu(job: Job, work: Callable[[], int]) -> int:
    """A worker that finds no GPU where it is to run on one."""
    if job.device == "cpu":
        return work()
    return workers.reports(Record(error=f"{NO_GPU} here", unavailable=True))(job, work)
