"""Workers of a parity run that end as they should not, or leave what they should not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import torch_impl
from vgg16_parity.runtimes import process, shards, worker
from vgg16_parity.runtimes.adapters.framework import FrameworkModel, Values
from vgg16_parity.runtimes.job import Job, Record, Result
from vgg16_spec.checkpoint import open_checkpoint

Task = Literal["run", "export", "gradients", "shards"]
# Stands where the work is done: gets the job and what does it, gives the exit status.
Spoil = Callable[[Job, Callable[[], int]], int]
Change = Callable[[dict[str, NDArray[Any]]], object]


def in_process(patch: pytest.MonkeyPatch, task: Task, spoil: Spoil) -> None:
    """Have jobs be done in this process, by PyTorch as it is set, and those of a task spoilt."""

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        job = Job.of_text(command[-1])

        def work() -> int:
            return worker.main(command[-1])

        if job.task != task:
            return subprocess.CompletedProcess(command, work())
        try:
            return subprocess.CompletedProcess(command, spoil(job, work))
        except TimeoutError:
            raise subprocess.TimeoutExpired(command, options["timeout"]) from None

    patch.setattr(process.subprocess, "run", run)  # type: ignore[attr-defined]
    patch.setattr(worker, "loader", lambda _: _load)


def _load(job: Job) -> FrameworkModel:
    checkpoint = open_checkpoint(job.checkpoint)
    model = torch_impl.VGG(checkpoint.configuration.name)
    torch_impl.load_checkpoint(model, checkpoint)

    def logits(images: Values) -> Values:
        return torch_impl.run_with_taps(model, images)["predictions"]

    return FrameworkModel(torch_impl, model, logits, "cpu", 1, {})


def ends(status: int, *, printing: str = "") -> Spoil:
    """Ends before it has done anything; a negative status is a signal."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        del work
        (Path(job.folder) / "log.txt").write_text(printing)
        return status

    return spoil


def raises(error: BaseException) -> Spoil:
    """Ends with an exception inside the work."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        del job
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "_load", lambda *_: (_ for _ in ()).throw(error))
            return work()

    return spoil


def computes(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Computes other logits of a data set's images than the network's."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        del job
        real = shards._logits
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shards, "_logits", lambda *given: change(real(*given)))
            return work()

    return spoil


def loses_results(job: Job, work: Callable[[], int]) -> int:
    """Reports that it has done everything, and leaves no logits of a data set's images."""
    status = work()
    for _, result in shards.Plan.read(Path(job.plan)).shards:
        Path(result).unlink()
    return status


def hangs(job: Job, work: Callable[[], int]) -> int:
    """Takes longer than it may."""
    raise TimeoutError


def ends_after_work(status: int) -> Spoil:
    """Has done everything and then ends with a status."""
    return lambda _, work: work() or status


def writes_half_a_record(job: Job, work: Callable[[], int]) -> int:
    """Is cut off while it reports."""
    status = work()
    record = Path(job.folder) / "record.json"
    record.write_text(record.read_text()[:-20])
    return status


def reports(record: Record) -> Spoil:
    """Leaves a report of its own and nothing else."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        del work
        (Path(job.folder) / "record.json").write_text(json.dumps(vars(record)))
        return 1

    return spoil


def leaves(kind: Result, change: Change, case: str = "") -> Spoil:
    """Leaves other arrays of a kind, of the case whose folder is named, or of the first."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        status = work()
        found = job.result(case or job.cases[0], kind)
        arrays = {name: np.array(found[name]) for name in found}
        change(arrays)
        shutil.rmtree(found.path)
        found.write(arrays)
        return status

    return spoil


def damages(kind: Result, change: Callable[[Path], object], case: str = "") -> Spoil:
    """Leaves a folder of results that is not as it was written."""

    def spoil(job: Job, work: Callable[[], int]) -> int:
        status = work()
        change(job.result(case or job.cases[0], kind).path)
        return status

    return spoil


def cut(name: str) -> Callable[[Path], object]:
    """Half of a file of a folder."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change
