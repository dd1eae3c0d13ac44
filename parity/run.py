"""The main job: one checkpoint, the same images, every runtime, one report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from parity import compare, reference
from parity.report import Image, Report, Row, Weights
from parity.runtimes import Device, Job, Record, Runtime, peak_memory, work
from vgg16.checkpoint import Checkpoint, digest, write_checkpoint
from vgg16.errors import BadInput
from vgg16.preprocessing import preprocess, read_image, recipe_named
from vgg16.seeded import is_seeded

# Shown while a stage that takes its time is under way.
Progress = Callable[[str], AbstractContextManager[object]]


def run_parity(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtimes: Sequence[Runtime],
    *,
    device: Device = "cpu",
    all_required: bool = False,
    progress: Progress = nullcontext,
) -> Report:
    """Run the checkpoint's network in every runtime and in the arbiter, and judge the logits.

    Parameters
    ----------
    checkpoint: with the classifier; its recipe prepares the images.
    images: picture files, at least one.
    runtimes: each becomes a row of the report, also where it cannot run.
    device: where the runtimes run; the arbiter runs on the CPU.
    all_required: whether parity needs each of the runtimes, also one that is not installed.
    progress: called with the name of each stage.

    Raises ``BadInput`` for a checkpoint without its classifier, no image, or one that cannot be
    read.
    """
    batch = prepare(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-parity-") as folder:
        workplace = Workplace(checkpoint, batch, Path(folder), device, progress)
        with progress("arbiter (NumPy, float64)"):
            start = time.perf_counter()
            expected = reference.run_with_taps(checkpoint, batch)["predictions"]
            seconds = time.perf_counter() - start
        rows = []
        for chosen in runtimes:
            if reason := chosen.missing():
                rows.append(Row(chosen.name, "not run", reason=reason))
            else:
                rows.append(_judge(chosen, workplace, expected))
    with progress("digests"):
        sha256 = "" if checkpoint.path is None else digest(checkpoint.path)
    weights = Weights(
        configuration=checkpoint.configuration.name,
        parameters=checkpoint.configuration.parameters(),
        seeded=is_seeded(checkpoint),
        path="" if checkpoint.path is None else checkpoint.path.name,
        sha256=sha256,
        metadata=asdict(checkpoint.metadata),
    )
    first_classes = compare.top(expected, 5).tolist()
    shown = [Image(p.name, digest(p), t) for p, t in zip(images, first_classes, strict=True)]
    return Report(
        weights=weights,
        images=tuple(shown),
        device=device,
        arbiter_seconds=seconds,
        peak_bytes=peak_memory(),
        all_required=all_required,
        rows=tuple(rows),
    )


def run_logits(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtime: Runtime,
    *,
    device: Device = "cpu",
    progress: Progress = nullcontext,
) -> NDArray[np.float32]:
    """The logits (images, classes) of picture files in one runtime.

    Raises ``BadInput`` as :func:`run_parity` does, and where the runtime fails.
    """
    batch = prepare(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-predict-") as folder:
        workplace = Workplace(checkpoint, batch, Path(folder), device, progress)
        logits, record = workplace.run(runtime)
    if logits is None:
        raise BadInput(runtime.name, f"did not run ({record.error})", "a runtime that works here")
    return logits


def prepare(checkpoint: Checkpoint, images: Sequence[Path]) -> NDArray[np.float32]:
    """Picture files as the network's input, (N, 3, H, W), by the checkpoint's own recipe."""
    checkpoint.check_top()
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    if not images:
        raise BadInput("images", "none given", "at least one picture")
    size = checkpoint.configuration.input_size
    prepared = [preprocess(read_image(path), recipe, size=size) for path in images]
    return np.concatenate(prepared)


@dataclass
class Workplace:
    """A folder where workers find the checkpoint and the images, and leave their results.

    Parameters
    ----------
    checkpoint: written into the folder where it is not in a canonical file already.
    batch: the network's input, (N, 3, H, W).
    folder: temporary.
    device: where the runtimes run.
    progress: called with the name of each stage.
    """

    checkpoint: Checkpoint
    batch: NDArray[np.float32]
    folder: Path
    device: Device
    progress: Progress

    def __post_init__(self) -> None:
        if self.checkpoint.path is None:
            with self.progress("canonical checkpoint"):
                path = self.folder / "checkpoint.safetensors"
                self.checkpoint = write_checkpoint(self.checkpoint, path)
        save_file({"images": self.batch}, self.folder / "images.safetensors")

    def run(self, runtime: Runtime) -> tuple[NDArray[np.float32] | None, Record]:
        """A runtime's logits and its record; no logits where it failed, the record says why."""
        model = self.folder / f"{runtime.name}-model"
        exported = Record()
        if runtime.onnx:
            with self.progress(f"{runtime.name} (export)"):
                exported = work(self._job("export", runtime, model))
            if exported.error:
                return None, exported
        with self.progress(runtime.name):
            job = self._job("run", runtime, model)
            record = work(job)
        # An exported model is as large as the checkpoint: gone before the next one comes.
        shutil.rmtree(model, ignore_errors=True)
        # What it cost is the cost of both processes.
        costs = {f"export {stage}": seconds for stage, seconds in exported.seconds.items()}
        record = replace(
            record,
            seconds=costs | record.seconds,
            peak_bytes=max(exported.peak_bytes, record.peak_bytes),
        )
        if record.error:
            return None, record
        return load_file(Path(job.folder) / "taps.safetensors")["predictions"], record

    def _job(self, task: Literal["run", "export"], runtime: Runtime, model: Path) -> Job:
        return Job(
            task=task,
            runtime=runtime.name,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(self.folder / f"{runtime.name}-{task}"),
            images=str(self.folder / "images.safetensors"),
            model=str(model),
            device=self.device,
        )


def _judge(runtime: Runtime, workplace: Workplace, expected: NDArray[np.float64]) -> Row:
    logits, record = workplace.run(runtime)
    if logits is None:
        status: Literal["not run", "failed"] = "not run" if record.unavailable else "failed"
        return Row(runtime.name, status, reason=record.error, record=record)
    verdict = compare.judge(logits, expected)
    judged: Literal["holds", "broken"] = "holds" if verdict.passed else "broken"
    return Row(runtime.name, judged, reason=verdict.reason, verdict=verdict, record=record)
