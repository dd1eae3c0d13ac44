"""The main job: one checkpoint, the same inputs, every runtime in every lane, one report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import Mode
from vgg16_parity import inputs
from vgg16_parity.facts import case_facts, weights_facts
from vgg16_parity.inputs import Case
from vgg16_parity.judge import cpu_beside_gpu, layers
from vgg16_parity.judge.cpu_beside_gpu import Run
from vgg16_parity.judge.gradients import run as gradient_run
from vgg16_parity.network.expectations import IMAGES, ArbiterCase, expect
from vgg16_parity.records import Report, Row, Status
from vgg16_parity.runtimes.exchange import opened
from vgg16_parity.runtimes.lanes import LANES, Device, Lane
from vgg16_parity.runtimes.process import Depth, Job, Record, peak_memory, work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint
from vgg16_spec.errors import BadInput

Devices = Device | Literal["both"]
DEVICES: Final[tuple[Devices, ...]] = (*get_args(Device), "both")

# Shown while a stage that takes its time is under way.
Progress = Callable[[str], AbstractContextManager[object]]


def run_parity(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtimes: Sequence[Runtime],
    *,
    lanes: Sequence[Lane] = (LANES["strict"],),
    device: Devices = "cpu",
    hard_inputs: bool = False,
    depth: Depth = "layers",
    gradients: bool = False,
    all_required: bool = False,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> Report:
    """Run the checkpoint's network in every runtime and in the arbiter, and judge the differences.

    Args:
        checkpoint: with the classifier; its recipe prepares the images.
        images: picture files, at least one.
        runtimes: each becomes a row of the report for every lane and device, also where it cannot
            run.
        lanes: the numeric set-ups; one that does not exist on the device is a row that was not run.
        device: where the runtimes run; with ``both``, a row on the GPU is compared with the CPU's
            too. The arbiter runs on the CPU.
        hard_inputs: whether to run the inputs that can hurt too.
        depth: compare the logits alone, every tap, or each layer alone besides.
        gradients: compare gradients and a step of SGD on the pictures too, in the runtimes that
            have them and the lanes of float32.
        all_required: whether parity needs each of the runtimes, also one that is not installed.
        timeout: the seconds that a worker may take; none waits for ever.
        progress: called with the name of each stage.

    Raises ``BadInput`` for a checkpoint without its classifier, no image, or one that cannot be
    read, and for gradients at the depth of logits alone, or of runtimes that have none.
    """
    if gradients and depth == "logits":
        raise BadInput("gradients", "are not compared where only logits are", "one of the two")
    cases = [inputs.pictures(checkpoint, images)]
    if hard_inputs:
        cases += inputs.hard(checkpoint)
    devices: tuple[Device, ...] = get_args(Device) if device == "both" else (device,)
    pairs = [(lane, place) for lane in lanes for place in devices]
    modes = {mode.name: mode for lane, place in pairs if (mode := lane.mode(place)) is not None}
    judged = (gradient_run.applies(one, mode) for one in runtimes for mode in modes.values())
    if gradients and not any(judged):
        named = ", ".join(one.name for one in runtimes)
        raise BadInput("gradients", f"{named} has none here", "a framework in a lane of float32")
    with tempfile.TemporaryDirectory(prefix="vgg16-parity-") as folder:
        workspace = Workspace(checkpoint, Path(folder), devices[0], timeout, progress, gradients)
        start = time.perf_counter()
        expectations = workspace.expect(cases, list(modes.values()), logits_only=depth == "logits")
        seconds = time.perf_counter() - start
        rows = [
            row
            for runtime in runtimes
            for lane in lanes
            for row in workspace.rows(runtime, lane, devices, expectations, depth)
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

    Raises ``BadInput`` as `run_parity` does, and where the runtime fails.
    """
    case = inputs.pictures(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-predict-") as name:
        folder = Path(name)
        workspace = Workspace(checkpoint, folder, device, None, progress)
        pictures = folder / "pictures"
        pictures.mkdir()
        np.save(pictures / f"{IMAGES}.npy", case.images)
        job, record = workspace.run(runtime, LANES["strict"], [pictures], "logits")
        if record.error:
            problem = f"did not run ({record.error})"
            raise BadInput(runtime.name, problem, "a runtime that works here")
        with opened(job.result(str(pictures), "accumulated")) as taps:
            logits: NDArray[np.float32] = taps["predictions"]
    return logits


@dataclass
class Workspace:
    """A folder where workers find the checkpoint and the inputs, and leave their results.

    Attributes:
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
    ) -> list[ArbiterCase]:
        """Have the arbiter run every case."""
        expectations = []
        for index, case in enumerate(cases):
            with self.progress(f"arbiter (NumPy, float64): {case.name}"):
                folder = self.folder / f"case{index}"
                expectations.append(
                    expect(self.checkpoint, case, modes, folder, logits_only=logits_only)
                )
        return expectations

    def rows(
        self,
        runtime: Runtime,
        lane: Lane,
        devices: Sequence[Device],
        expectations: Sequence[ArbiterCase],
        depth: Depth,
    ) -> list[Row]:
        """Run a runtime in a lane on every device: a row each, compared with each other."""
        rows, runs = [], dict[Device, Run]()
        for self.device in devices:
            mode = lane.mode(self.device)
            if mode is None:
                reason = f"there is no such lane on {self.device}"
                row = Row(runtime.name, lane.name, "", "not run", reason, device=self.device)
            else:
                row, job = self._judged(runtime, lane, mode, expectations, depth)
                if job is not None:
                    runs[self.device] = Run(job, mode, row.status == "holds")
                if self.device == "cuda" and len(runs) == len(get_args(Device)):
                    row = cpu_beside_gpu.add_cpu_comparison(
                        row, runs["cuda"], runs["cpu"], expectations
                    )
            rows.append(row)
        for run in runs.values():
            # Its taps take as much room as the network's activations.
            shutil.rmtree(run.job.folder)
        return rows

    def judge(
        self,
        runtime: Runtime,
        lane: Lane,
        mode: Mode,
        expectations: Sequence[ArbiterCase],
        depth: Depth,
    ) -> Row:
        """Run a runtime in a lane on the workspace's device and judge it: a row of the report."""
        row, job = self._judged(runtime, lane, mode, expectations, depth)
        if job is not None:
            shutil.rmtree(job.folder)
        return row

    def _judged(
        self,
        runtime: Runtime,
        lane: Lane,
        mode: Mode,
        expectations: Sequence[ArbiterCase],
        depth: Depth,
    ) -> tuple[Row, Job | None]:
        """The row, and the job whose folder has the results where it ran."""
        row = Row(runtime.name, lane.name, mode.name, "not run", device=self.device)
        if reason := runtime.missing(self.device):
            return replace(row, reason=reason), None
        folders = [expectation.folder for expectation in expectations]
        job, record = self.run(runtime, lane, folders, depth)
        if record.error:
            status: Status = "not run" if record.unavailable else "failed"
            return replace(row, status=status, reason=record.error, record=record), None
        with self.progress(f"{row.name}: judging"):
            row = layers.judge(runtime.name, lane.name, mode, expectations, job, record)
            row = replace(row, device=self.device)
        if self.gradients and gradient_run.applies(runtime, mode):
            with self.progress(f"{row.name}: gradients"):
                row = gradient_run.add_gradients(
                    row, job, self.checkpoint, expectations[0], mode, self.timeout
                )
        return row, job

    def run(
        self, runtime: Runtime, lane: Lane, cases: Sequence[Path], depth: Depth
    ) -> tuple[Job, Record]:
        """Run a runtime on the cases' folders; the job tells where its results are."""
        self._jobs += 1
        on_gpu = ", cuda" if self.device == "cuda" else ""
        label = f"{runtime.name} ({lane.name}{on_gpu})"
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
