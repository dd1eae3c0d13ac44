"""The main job: one checkpoint, the same inputs, every runtime in every lane, one report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity import compare, inputs, verdicts
from parity.expected import IMAGES, Expectation, expect
from parity.gradients import run as backward
from parity.inputs import Case
from parity.lanes import LANES, Device, Lane
from parity.processes import Depth, Job, Record, peak_memory, work
from parity.report import CaseFacts, Image, Report, Row, Status, Weights
from parity.runtimes import Runtime
from parity.tolerance import Mode
from vgg16.checkpoint import Checkpoint, digest, write_checkpoint
from vgg16.errors import BadInput
from vgg16.seeded import is_seeded

# Shown while a stage that takes its time is under way.
Progress = Callable[[str], AbstractContextManager[object]]


def run_parity(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtimes: Sequence[Runtime],
    *,
    lanes: Sequence[Lane] = (LANES["strict"],),
    device: Device = "cpu",
    hard_inputs: bool = False,
    depth: Depth = "layers",
    gradients: bool = False,
    all_required: bool = False,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> Report:
    """Run the checkpoint's network in every runtime and in the arbiter, and judge the differences.

    Parameters
    ----------
    checkpoint: with the classifier; its recipe prepares the images.
    images: picture files, at least one.
    runtimes: each becomes a row of the report for every lane, also where it cannot run.
    lanes: the numeric set-ups; one that does not exist on the device is a row that was not run.
    device: where the runtimes run; the arbiter runs on the CPU.
    hard_inputs: whether to run the inputs that can hurt too.
    depth: compare the logits alone, every tap, or each layer alone besides.
    gradients: compare gradients and a step of SGD on the pictures too, in the runtimes that have
        them and the lanes of float32.
    all_required: whether parity needs each of the runtimes, also one that is not installed.
    timeout: the seconds that a worker may take; none waits for ever.
    progress: called with the name of each stage.

    Raises ``BadInput`` for a checkpoint without its classifier, no image, or one that cannot be
    read, and for gradients at the depth of logits alone, or of runtimes that have none.
    """
    if gradients and depth == "logits":
        raise BadInput("gradients", "need every layer of the forward pass", "more than the logits")
    cases = [inputs.pictures(checkpoint, images)]
    if hard_inputs:
        cases += inputs.hard(checkpoint)
    if gradients and not any(backward.applies(one, lane) for one in runtimes for lane in lanes):
        raise BadInput("gradients", "are asked for of what has none", "a framework in float32")
    there = [lane for lane in lanes if lane.mode(device) is not None]
    modes = {mode.name: mode for lane in there if (mode := lane.mode(device)) is not None}
    with tempfile.TemporaryDirectory(prefix="vgg16-parity-") as folder:
        workplace = Workplace(checkpoint, Path(folder), device, timeout, progress, gradients)
        start = time.perf_counter()
        expectations = workplace.expect(cases, list(modes.values()), logits_only=depth == "logits")
        seconds = time.perf_counter() - start
        rows = [
            workplace.judge(runtime, lane, modes[lane.modes[device]], expectations, depth)
            if lane in there
            else Row(runtime.name, lane.name, "", "not run", f"there is no such lane on {device}")
            for runtime in runtimes
            for lane in lanes
        ]
        facts = tuple(case_facts(expectation, images) for expectation in expectations)
    with progress("digests"):
        weights = weights_facts(checkpoint)
    return Report(
        weights=weights,
        cases=facts,
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
    """The logits (images, classes) of picture files in one runtime, in the strict lane.

    Raises ``BadInput`` as :func:`run_parity` does, and where the runtime fails.
    """
    case = inputs.pictures(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-predict-") as name:
        folder = Path(name)
        workplace = Workplace(checkpoint, folder, device, None, progress)
        pictures = folder / "pictures"
        pictures.mkdir()
        np.save(pictures / f"{IMAGES}.npy", case.images)
        job, record = workplace.run(runtime, LANES["strict"], [pictures], "logits")
        if record.error:
            problem = f"did not run ({record.error})"
            raise BadInput(runtime.name, problem, "a runtime that works here")
        with verdicts.opened(job.result(str(pictures), "accumulated")) as taps:
            logits: NDArray[np.float32] = taps["predictions"]
    return logits


@dataclass
class Workplace:
    """A folder where workers find the checkpoint and the inputs, and leave their results.

    Parameters
    ----------
    checkpoint: written into the folder where it is not in a canonical file already.
    folder: temporary.
    device: where the runtimes run.
    timeout: the seconds that a worker may take; none waits for ever.
    progress: called with the name of each stage.
    gradients: whether rows hold gradients, of the first case.
    """

    checkpoint: Checkpoint
    folder: Path
    device: Device
    timeout: float | None
    progress: Progress
    gradients: bool = False
    _jobs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.checkpoint.path is None:
            with self.progress("canonical checkpoint"):
                path = self.folder / "checkpoint.safetensors"
                self.checkpoint = write_checkpoint(self.checkpoint, path)

    def expect(
        self, cases: Sequence[Case], modes: Sequence[Mode], *, logits_only: bool
    ) -> list[Expectation]:
        """Have the arbiter run every case."""
        expectations = []
        for index, case in enumerate(cases):
            with self.progress(f"arbiter (NumPy, float64): {case.name}"):
                folder = self.folder / f"case{index}"
                expectations.append(
                    expect(self.checkpoint, case, modes, folder, logits_only=logits_only)
                )
        return expectations

    def judge(
        self,
        runtime: Runtime,
        lane: Lane,
        mode: Mode,
        expectations: Sequence[Expectation],
        depth: Depth,
    ) -> Row:
        """Run a runtime in a lane and judge it: a row of the report."""
        if reason := runtime.missing():
            return Row(runtime.name, lane.name, mode.name, "not run", reason)
        folders = [expectation.folder for expectation in expectations]
        job, record = self.run(runtime, lane, folders, depth)
        if record.error:
            status: Status = "not run" if record.unavailable else "failed"
            return Row(runtime.name, lane.name, mode.name, status, record.error, record=record)
        with self.progress(f"{runtime.name} ({lane.name}): judging"):
            row = verdicts.judge(runtime.name, lane.name, mode, expectations, job, record)
        # Its taps take as much room as the network's activations.
        shutil.rmtree(job.folder)
        if self.gradients and backward.applies(runtime, lane):
            with self.progress(f"{runtime.name} ({lane.name}): gradients"):
                row = backward.added(row, job, self.checkpoint, expectations[0], mode, self.timeout)
        return row

    def run(
        self, runtime: Runtime, lane: Lane, cases: Sequence[Path], depth: Depth
    ) -> tuple[Job, Record]:
        """Run a runtime on the cases' folders; the job tells where its results are."""
        self._jobs += 1
        label = f"{runtime.name} ({lane.name})"
        job = Job(
            task="run",
            runtime=runtime,
            lane=lane.name,
            device=self.device,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(self.folder / f"job{self._jobs}"),
            cases=tuple(map(str, cases)),
            depth=depth,
            model=str(self.folder / f"model{self._jobs}"),
        )
        exported = Record()
        if runtime.onnx:
            with self.progress(f"{label}: export"):
                exporting = replace(job, task="export", folder=f"{job.folder}-export")
                exported = work(exporting, timeout=self.timeout)
            if exported.error:
                return job, exported
        with self.progress(label):
            record = work(job, timeout=self.timeout)
        # An exported model is as large as the checkpoint: gone before the next one comes.
        shutil.rmtree(job.model, ignore_errors=True)
        # What it cost is the cost of both processes.
        costs = {f"export {stage}": seconds for stage, seconds in exported.seconds.items()}
        return job, replace(
            record,
            versions=exported.versions | record.versions,
            seconds=costs | record.seconds,
            peak_bytes=max(exported.peak_bytes, record.peak_bytes),
        )


def weights_facts(checkpoint: Checkpoint) -> Weights:
    """What a report says of a checkpoint; reads the whole file for its digest."""
    return Weights(
        configuration=checkpoint.configuration.name,
        parameters=checkpoint.configuration.parameters(),
        seeded=is_seeded(checkpoint),
        path="" if checkpoint.path is None else checkpoint.path.name,
        sha256="" if checkpoint.path is None else digest(checkpoint.path),
        metadata=asdict(checkpoint.metadata),
        classes=checkpoint.configuration.classes,
    )


def case_facts(expectation: Expectation, files: Sequence[Path]) -> CaseFacts:
    """What a report says of a case; ``files`` are the pictures, for the case that has them."""
    case = expectation.case
    digests = [digest(path) for path in files] if case.name == inputs.PICTURES else []
    logits = np.array(np.load(expectation.folder / "predictions.before.npy", mmap_mode="r"))
    finite = np.isfinite(logits).all(axis=1)
    first = compare.top(np.where(np.isfinite(logits), logits, 0), 5)
    return CaseFacts(
        case.name,
        tuple(
            Image(label, sha256, tuple(map(int, top)) if shown else ())
            for label, sha256, top, shown in zip(
                case.labels, digests or [""] * len(case.labels), first, finite, strict=True
            )
        ),
    )
