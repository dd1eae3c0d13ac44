"""A parity run: one checkpoint and the same inputs in every runtime and lane, one report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self, get_args

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
from vgg16_parity.runtimes.exchange import StoredTensors
from vgg16_parity.runtimes.lanes import LANES, Device, Lane, run_in
from vgg16_parity.runtimes.process import (
    Depth,
    ExportJob,
    Record,
    RunJob,
    peak_memory,
    work,
)
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
    """Run the checkpoint's network in every runtime and judge the results by the arbiter.

    Args:
        checkpoint: with the classifier; its recipe prepares the images.
        images: picture files, at least one.
        runtimes: each gives a row of the report for every lane and device, even if it cannot run.
        lanes: the numeric settings; one that the device lacks is a row that did not run, and one
            with the same settings as another takes that one's results.
        device: where the runtimes run; with ``both``, the GPU is compared with the CPU as well. The
            arbiter runs on the CPU.
        hard_inputs: whether to run the stress inputs too.
        depth: compare only the logits, every tap, or every tap and each layer alone.
        gradients: also compare gradients and a step of SGD on the pictures, in the frameworks and
            the float32 lanes.
        all_required: whether every runtime must run for parity to hold, installed or not.
        timeout: seconds that a worker may take; None waits indefinitely.
        progress: called with the name of each stage.

    Raises:
        BadInput: the checkpoint has no classifier; there is no image, or one that cannot be read;
            gradients are asked for with logits alone, or of runtimes that have none.
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
        workspace = Workspace.create(checkpoint, Path(folder), timeout, progress, gradients)
        start = time.perf_counter()
        expectations = workspace.expect(cases, list(modes.values()), logits_only=depth == "logits")
        seconds = time.perf_counter() - start
        rows: list[Row] = []
        for runtime in runtimes:
            finished: dict[str, list[Row]] = {}
            for lane in lanes:
                run = run_in(lane, lanes, devices, runtime.computed_by, gradients=gradients)
                if run.name not in finished:
                    finished[run.name] = workspace.rows(runtime, run, devices, expectations, depth)
                rows += [_in_lane(row, lane) for row in finished[run.name]]
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


def _in_lane(row: Row, lane: Lane) -> Row:
    """A run's row in a lane; if another lane was run for it, its first case says so."""
    if row.lane == lane.name:
        return row
    record = row.record and replace(row.record, seconds={}, repeats="", differs_from="")
    cases = row.cases
    if cases:
        note = f"taken from the {row.lane} lane, which computes the same bits here"
        cases = (replace(cases[0], notes=(note, *cases[0].notes)), *cases[1:])
    return replace(row, lane=lane.name, cases=cases, record=record)


def run_logits(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtime: Runtime,
    *,
    device: Device = "cpu",
    progress: Progress = nullcontext,
) -> NDArray[np.float32]:
    """The logits (images, classes) of picture files in one runtime, in the strict lane.

    Raises:
        BadInput: as for :func:`run_parity`, or the runtime fails.
    """
    case = inputs.pictures(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-predict-") as name:
        folder = Path(name)
        workspace = Workspace.create(checkpoint, folder, None, progress)
        pictures = folder / "pictures"
        pictures.mkdir()
        np.save(pictures / f"{IMAGES}.npy", case.images)
        job, record = workspace.run(runtime, LANES["strict"], device, [pictures], "logits")
        if record.error:
            problem = f"did not run ({record.error})"
            raise BadInput(runtime.name, problem, "a runtime that works here")
        logits: NDArray[np.float32] = StoredTensors(job.result(str(pictures), "accumulated"))[
            "predictions"
        ]
    return logits


@dataclass(frozen=True)
class Workspace:
    """A folder where workers find the checkpoint and the inputs, and leave their results.

    Attributes:
        checkpoint: in a canonical file.
        folder: temporary.
        timeout: seconds that a worker may take; None waits indefinitely.
        progress: called with the name of each stage.
        gradients: whether to compare gradients, on the first case.
    """

    checkpoint: Checkpoint
    folder: Path
    timeout: float | None
    progress: Progress
    gradients: bool = False

    @classmethod
    def create(
        cls,
        checkpoint: Checkpoint,
        folder: Path,
        timeout: float | None,
        progress: Progress,
        gradients: bool = False,
    ) -> Self:
        """A workspace in an empty folder; writes the checkpoint there if it is in no file."""
        if checkpoint.path is None:
            with progress("canonical checkpoint"):
                checkpoint = write_checkpoint(checkpoint, folder / "checkpoint.safetensors")
        return cls(checkpoint, folder, timeout, progress, gradients)

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
        for device in devices:
            mode = lane.mode(device)
            if mode is None:
                reason = f"there is no such lane on {device}"
                row = Row(runtime.name, lane.name, "", "not run", reason, device=device)
            else:
                row, job = self._judged(runtime, lane, device, mode, expectations, depth)
                if job is not None:
                    runs[device] = Run(job, mode, row.status == "holds")
                if device == "cuda" and len(runs) == len(get_args(Device)):
                    row = cpu_beside_gpu.add_cpu_comparison(
                        row, runs["cuda"], runs["cpu"], expectations
                    )
            rows.append(row)
        for run in runs.values():
            # Its taps are as large as the network's activations.
            shutil.rmtree(Path(run.job.folder).parent)
        return rows

    def _judged(
        self,
        runtime: Runtime,
        lane: Lane,
        device: Device,
        mode: Mode,
        expectations: Sequence[ArbiterCase],
        depth: Depth,
    ) -> tuple[Row, RunJob | None]:
        """The row, and the job whose folder has the results where it ran."""
        row = Row(runtime.name, lane.name, mode.name, "not run", device=device)
        if reason := runtime.missing(device):
            return replace(row, reason=reason), None
        folders = [expectation.folder for expectation in expectations]
        job, record = self.run(runtime, lane, device, folders, depth)
        if record.error:
            status: Status = "not run" if record.unavailable else "failed"
            return replace(row, status=status, reason=record.error, record=record), None
        with self.progress(f"{row.name}: judging"):
            row = layers.judge(runtime.name, lane.name, mode, expectations, job, record)
            row = replace(row, device=device)
        if self.gradients and gradient_run.applies(runtime, mode):
            with self.progress(f"{row.name}: gradients"):
                row = gradient_run.add_gradients(
                    row, job, self.checkpoint, expectations[0], mode, self.timeout
                )
        return row, job

    def run(
        self, runtime: Runtime, lane: Lane, device: Device, cases: Sequence[Path], depth: Depth
    ) -> tuple[RunJob, Record]:
        """Run a runtime on the folders of cases; its results are where the job says."""
        label = f"{runtime.name} ({lane.name}{', cuda' if device == 'cuda' else ''})"
        place = Path(tempfile.mkdtemp(prefix=f"{runtime.name}-{lane.name}-", dir=self.folder))
        model = place / "model"
        job = RunJob(
            runtime=runtime,
            lane=lane.name,
            device=device,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(place / "run"),
            cases=tuple(map(str, cases)),
            depth=depth,
            model=str(model) if runtime.onnx else None,
        )
        exported = Record()
        if runtime.onnx:
            exporting = ExportJob(
                runtime, lane.name, job.checkpoint, str(place / "export"), str(model)
            )
            with self.progress(f"{label}: export"):
                exported = work(exporting, timeout=self.timeout)
            if exported.error:
                return job, exported
        with self.progress(label):
            record = work(job, timeout=self.timeout)
        # An exported model is as large as the checkpoint: removed before the next one is written.
        shutil.rmtree(model, ignore_errors=True)
        # The cost is that of both processes.
        costs = {f"export {stage}": seconds for stage, seconds in exported.seconds.items()}
        return job, replace(
            record,
            versions=exported.versions | record.versions,
            seconds=costs | record.seconds,
            peak_bytes=max(exported.peak_bytes, record.peak_bytes),
        )
