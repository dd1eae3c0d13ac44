"""A parity run: one checkpoint and the same inputs in every runtime and lane, one report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import IMAGES, ArbiterCase, Case
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity import inputs
from vgg16_parity.judge.alternatives import judge_cases
from vgg16_parity.judge.coverage import Coverages
from vgg16_parity.judge.diagnosis import with_notes
from vgg16_parity.judge.found_modes import in_mode, with_mode
from vgg16_parity.judge.gradients import run as gradient_run
from vgg16_parity.judge.layers import Run, compare_with_cpu
from vgg16_parity.judge.probes import Probes, judge_probes_of
from vgg16_parity.judge.row import Finding, conclude
from vgg16_parity.network.arithmetic import PLAIN
from vgg16_parity.network.prediction import expect
from vgg16_parity.network.probes import expect_probes
from vgg16_parity.network.search import searched
from vgg16_parity.records import CaseFacts, GradientVerdict, Report, Row, Status, Weights
from vgg16_parity.runtimes.lanes import LANES, Device, Lane, default_is_strict, port_lane
from vgg16_parity.runtimes.process import Depth, Job, Record, peak_memory, work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.shared_runs import rows_of_lanes
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
            with the same settings as another takes that one's results. A user's own port runs in
            one lane, that of its mode.
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
        raise BadInput("gradients", "cannot be compared with logits only", "one of the two")
    cases = [inputs.pictures(checkpoint, images)]
    if hard_inputs:
        cases += inputs.hard(checkpoint)
    devices: tuple[Device, ...] = get_args(Device) if device == "both" else (device,)
    lanes_of = {
        each: [port_lane(each.port_mode, lanes)] if each.port else lanes for each in runtimes
    }
    found = (lane.mode(place) for each in lanes_of.values() for lane in each for place in devices)
    modes = {mode.name: mode for mode in found if mode is not None}
    if gradients:
        _require_gradients(runtimes, modes.values())
    with tempfile.TemporaryDirectory(prefix="vgg16-parity-") as temporary:
        folder = Path(temporary)
        stored = in_file(checkpoint, folder, progress)
        only_whole = [runtime for runtime in runtimes if depth != "logits" and _runs_whole(runtime)]
        coverages = Coverages(
            stored.configuration,
            tapped=depth != "logits",
            pooled=depth == "logits" or bool(only_whole),
        )
        workspace = Workspace(stored, folder, timeout, progress, gradients, coverages)
        common = len(cases)
        if only_whole:
            with progress("searched inputs"):
                cases.append(searched(stored))
        start = time.perf_counter()
        expectations = workspace.expect(cases, list(modes.values()), logits_only=depth == "logits")
        if depth == "layers":
            probes = workspace.expect_probes(expectations[0], list(modes.values()))
            workspace = replace(workspace, probes=probes)
        seconds = time.perf_counter() - start
        rows: list[Row] = []
        for runtime in runtimes:
            run = partial(
                workspace.rows,
                runtime,
                devices=devices,
                expectations=expectations if runtime in only_whole else expectations[:common],
                depth=depth,
            )
            trains = gradients and runtime.trains
            shared = default_is_strict(devices, runtime.computed_by, gradients=trains)
            rows += rows_of_lanes(run, lanes_of[runtime], shared=shared)
        facts = tuple(CaseFacts.of(expectation, images) for expectation in expectations)
    with progress("digests"):
        weights = Weights.of(checkpoint)
    return Report(
        weights=weights,
        cases=facts,
        device=device,
        arbiter_seconds=seconds,
        peak_bytes=peak_memory(),
        all_required=all_required,
        rows=tuple(rows),
    )


def _runs_whole(runtime: Runtime) -> bool:
    """Whether its layers cannot run alone: searched inputs exercise more of its weights."""
    return bool(runtime.port)


def _require_gradients(runtimes: Sequence[Runtime], modes: Iterable[Mode]) -> None:
    if not any(gradient_run.applies(*each) for each in product(runtimes, modes)):
        named = ", ".join(one.name for one in runtimes)
        raise BadInput("gradients", f"{named} has none here", "a framework in a lane of float32")


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
        BadInput: as for `run_parity`, or the runtime fails.
    """
    case = inputs.pictures(checkpoint, images)
    with tempfile.TemporaryDirectory(prefix="vgg16-predict-") as name:
        folder = Path(name)
        workspace = Workspace(in_file(checkpoint, folder, progress), folder, None, progress)
        pictures = folder / "pictures"
        pictures.mkdir()
        np.save(pictures / f"{IMAGES}.npy", case.images)
        job, record = workspace.run(runtime, LANES["strict"], device, [pictures], "logits")
        if record.error:
            problem = f"did not run ({record.error})"
            raise BadInput(runtime.name, problem, "a runtime that works here")
        return np.array(job.result(str(pictures), "accumulated")["predictions"])


def in_file(checkpoint: Checkpoint, folder: Path, progress: Progress) -> Checkpoint:
    """The checkpoint, written into the folder if it is in no canonical file."""
    if checkpoint.path is not None:
        return checkpoint
    with progress("canonical checkpoint"):
        return write_checkpoint(checkpoint, folder / "checkpoint.safetensors")


@dataclass(frozen=True)
class Workspace:
    """A folder where workers find the checkpoint and the inputs, and leave their results.

    Attributes:
        checkpoint: in a canonical file.
        folder: temporary.
        timeout: seconds that a worker may take; None waits indefinitely.
        progress: called with the name of each stage.
        gradients: whether to compare gradients, on the first case.
        coverages: takes what the cases exercise; None where no row is judged.
        probes: the arbiter's answers for dense inputs of each layer; None without.
    """

    checkpoint: Checkpoint
    folder: Path
    timeout: float | None
    progress: Progress
    gradients: bool = False
    coverages: Coverages | None = None
    probes: Probes | None = None

    def expect(
        self, cases: Sequence[Case], modes: Sequence[Mode], *, logits_only: bool
    ) -> list[ArbiterCase]:
        """Have the arbiter run every case."""
        found = []
        for index, case in enumerate(cases):
            with self.progress(f"arbiter (NumPy, float64): {case.name}"):
                folder = self.folder / f"case{index}"
                exercised = None if self.coverages is None else self.coverages.case(case.name)
                found.append(
                    expect(
                        self.checkpoint,
                        case,
                        modes,
                        folder,
                        logits_only=logits_only,
                        exercised=exercised,
                    )
                )
        return found

    def expect_probes(self, case: ArbiterCase, modes: Sequence[Mode]) -> Probes:
        """Have the arbiter run each layer on dense inputs, of the scale of its own in a case."""
        with self.progress("arbiter (NumPy, float64): probes"):
            answers = expect_probes(self.checkpoint, case, modes, self.folder / "probes")
        if self.coverages is not None:
            self.coverages.add_probes(answers)
        return Probes(answers, case, frozenset(mode.name for mode in modes))

    def rows(
        self,
        runtime: Runtime,
        lane: Lane,
        devices: Sequence[Device],
        expectations: Sequence[ArbiterCase],
        depth: Depth,
    ) -> list[Row]:
        """Run a runtime in a lane on every device: a row each, compared with each other."""
        rows, runs = list[Row](), dict[Device, Run]()
        for device in devices:
            cpu = (runs["cpu"], rows[0].status == "holds") if "cpu" in runs else None
            row, run = self._judged(runtime, lane, device, expectations, depth, cpu)
            if run is not None:
                runs[device] = run
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
        expectations: Sequence[ArbiterCase],
        depth: Depth,
        cpu: tuple[Run, bool] | None,
    ) -> tuple[Row, Run | None]:
        """The row, and the run whose folder has the results if it ran.

        ``cpu`` is the same run on the CPU to compare with, and whether it holds.
        """
        mode = lane.mode(device)
        row = Row(runtime.name, lane.name, mode.name if mode else "", "holds", device=device)
        if mode is None:
            lacking = Finding(f"there is no such lane on {device}", status="not run")
            return conclude(row, lacking), None
        if reason := runtime.missing(device):
            return conclude(row, Finding(reason, status="not run")), None
        folders = [expectation.folder for expectation in expectations]
        job, record = self.run(runtime, lane, device, folders, depth)
        if record.error:
            status: Status = "not run" if record.unavailable else "failed"
            return conclude(replace(row, record=record), Finding(record.error, status=status)), None
        name, finding = row.name, None
        if record.own_mode:
            mode = MODES[record.own_mode]
            row = replace(row, mode=mode.name)
            with self.progress(f"{name}: arbiter, {mode.name}"):
                expectations = in_mode(self.checkpoint, expectations, mode, self.folder)
        gradients: tuple[GradientVerdict, ...] = ()
        with self.progress(f"{name}: judging"):
            cases, assumed = judge_cases(self.checkpoint, expectations, mode, job)
            run = Run(job, mode, assumed)
            if record.own_mode:
                cases = with_mode(cases, mode)
            if runtime.port and depth != "logits":
                taps = job.result(str(expectations[0].folder), "accumulated")
                first = with_notes(cases[0], expectations[0], mode, taps, self.checkpoint)
                cases = (first, *cases[1:])
            arithmetic = next(iter(assumed.values()), PLAIN)
            probes = judge_probes_of(job, mode, self.checkpoint, self.probes, arithmetic)
            compared = compare_with_cpu(run, cpu[0], expectations, self.checkpoint) if cpu else ()
        if self.gradients and gradient_run.applies(runtime, mode):
            with self.progress(f"{name}: gradients"):
                record, gradients, finding = gradient_run.run_gradients(
                    job, record, self.checkpoint, expectations[0], mode, self.timeout
                )
        row = replace(row, record=record, cases=cases, probes=probes, gradients=gradients)
        row = replace(row, beside_cpu=compared)
        if self.coverages is not None:
            row = self.coverages.added_to(row)
        return conclude(row, finding, cpu_holds=cpu is None or cpu[1]), run

    def run(
        self, runtime: Runtime, lane: Lane, device: Device, cases: Sequence[Path], depth: Depth
    ) -> tuple[Job, Record]:
        """Run a runtime on the folders of cases; its results are where the job says."""
        label = f"{runtime.name} ({lane.name}{', cuda' if device == 'cuda' else ''})"
        place = Path(tempfile.mkdtemp(prefix="job-", dir=self.folder))
        # The engines share one: it is as large as the checkpoint.
        model = self.folder / f"model-{lane.precision}" if runtime.engine else place / "model"
        job = Job(
            "run",
            runtime,
            lane.name,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(place / "run"),
            device=device,
            cases=tuple(map(str, cases)),
            probes=str(self.probes.answers.folder) if self.probes else "",
            depth=depth,
            model=str(model) if runtime.exported else "",
        )
        exported = Record()
        if runtime.exported and not model.exists():
            export = replace(job, task="export", device="cpu", folder=str(place / "export"))
            with self.progress(f"{label}: export"):
                exported = work(export, timeout=self.timeout)
            if exported.error:
                shutil.rmtree(model, ignore_errors=True)
                return job, exported
        with self.progress(label):
            record = work(job, timeout=self.timeout)
        if not runtime.engine:
            shutil.rmtree(model, ignore_errors=True)
        # The cost is that of both processes.
        costs = {f"export {stage}": seconds for stage, seconds in exported.seconds.items()}
        return job, replace(
            record,
            versions=exported.versions | record.versions,
            seconds=costs | record.seconds,
            peak_bytes=max(exported.peak_bytes, record.peak_bytes),
        )
