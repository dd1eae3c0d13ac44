"""The temporary folder of a parity run: workers leave results in it, which are judged there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.judge.alternatives import judge_cases
from vgg16_parity.judge.coverage import Coverages
from vgg16_parity.judge.diagnosis import with_notes
from vgg16_parity.judge.found_modes import FoundModes, with_mode
from vgg16_parity.judge.gradients import run as gradient_run
from vgg16_parity.judge.layers import Run, compare_with_cpu
from vgg16_parity.judge.probes import judge_probes_of
from vgg16_parity.judge.row import Finding, conclude
from vgg16_parity.network.arithmetic import PLAIN
from vgg16_parity.network.prediction import expect
from vgg16_parity.network.probes import expect_probes
from vgg16_parity.records import Row, Status
from vgg16_parity.runtimes.job import Depth, Job, Record
from vgg16_parity.runtimes.lanes import Device, Lane
from vgg16_parity.runtimes.process import work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint

# Shown while a stage that takes its time is under way.
Progress = Callable[[str], AbstractContextManager[object]]


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
    probes: ArbiterCase | None = None

    @cached_property
    def _modes(self) -> FoundModes:
        return FoundModes(self.checkpoint, self.folder)

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

    def expect_probes(self, case: ArbiterCase, modes: Sequence[Mode]) -> ArbiterCase:
        """Have the arbiter run each layer on dense inputs, of the scale of its own in a case."""
        with self.progress("arbiter (NumPy, float64): probes"):
            answers = expect_probes(self.checkpoint, case, modes, self.folder / "probes")
        if self.coverages is not None:
            self.coverages.add_probes(answers)
        return answers

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
        if record.own_mode:
            mode = MODES[record.own_mode]
            row = replace(row, mode=mode.name)
            with self.progress(f"{row.name}: arbiter, {mode.name}"):
                expectations = self._modes.in_mode(expectations, mode)
        with self.progress(f"{row.name}: judging"):
            row, run = self._compared(replace(row, record=record), job, mode, expectations)
            if cpu:
                beside = compare_with_cpu(run, cpu[0], expectations, self.checkpoint)
                row = replace(row, beside_cpu=beside)
        finding = None
        if self.gradients and gradient_run.applies(runtime, mode):
            with self.progress(f"{row.name}: gradients"):
                record, gradients, finding = gradient_run.run_gradients(
                    job, record, self.checkpoint, expectations[0], mode, self.timeout
                )
            row = replace(row, record=record, gradients=gradients)
        if self.coverages is not None:
            row = self.coverages.added_to(row)
        return conclude(row, finding, cpu_holds=cpu is None or cpu[1]), run

    def _compared(
        self, row: Row, job: Job, mode: Mode, expectations: Sequence[ArbiterCase]
    ) -> tuple[Row, Run]:
        """The row with what the arbiter says of every case, and of each layer on dense inputs."""
        cases, assumed = judge_cases(self.checkpoint, expectations, mode, job)
        if job.runtime.port and job.depth != "logits":
            taps = job.result(str(expectations[0].folder), "accumulated")
            first = with_notes(cases[0], expectations[0], mode, taps, self.checkpoint)
            cases = (first, *cases[1:])
        if row.record is not None and row.record.own_mode:
            cases = with_mode(cases, mode)
        arithmetic = next(iter(assumed.values()), PLAIN)
        algorithms = arithmetic.algorithms
        probes = judge_probes_of(job, mode, self.checkpoint, self.probes, algorithms)
        return replace(row, cases=cases, probes=probes), Run(job, mode, assumed)

    def work(self, job: Job) -> Record:
        """Do a job in a worker."""
        return work(job, timeout=self.timeout)

    def run(
        self, runtime: Runtime, lane: Lane, device: Device, cases: Sequence[Path], depth: Depth
    ) -> tuple[Job, Record]:
        """Run a runtime on the folders of cases; its results are where the job says."""
        label = f"{runtime.name} ({lane.name}{', cuda' if device == 'cuda' else ''})"
        place = Path(tempfile.mkdtemp(prefix="job-", dir=self.folder))
        # The engines share one, in float32: it is as large as the checkpoint.
        model = (self.folder if runtime.engine else place) / "model"
        job = Job(
            "run",
            runtime,
            lane.name,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(place / "run"),
            device=device,
            cases=tuple(map(str, cases)),
            probes=str(self.probes.folder) if self.probes else "",
            depth=depth,
            model=str(model) if runtime.exported else "",
        )
        exported = Record()
        if runtime.exported and not model.exists():
            export = replace(
                job,
                task="export",
                lane="strict" if runtime.engine else lane.name,
                device="cpu",
                folder=str(place / "export"),
            )
            with self.progress(f"{label}: export"):
                exported = self.work(export)
            if exported.error:
                shutil.rmtree(model, ignore_errors=True)
                shutil.rmtree(place)
                return job, exported
        with self.progress(label):
            record = self.work(job)
        if record.error:
            # What an engine writes of the graph is as large as the checkpoint, too.
            shutil.rmtree(place)
        if runtime.engine:
            # The export is no engine's own cost.
            return job, record
        shutil.rmtree(model, ignore_errors=True)
        # The cost is that of both processes.
        costs = {f"export {stage}": seconds for stage, seconds in exported.seconds.items()}
        return job, replace(
            record,
            versions=exported.versions | record.versions,
            seconds=costs | record.seconds,
            peak_bytes=max(exported.peak_bytes, record.peak_bytes),
        )
