"""The throughput half of ``benchmarks.cuda``: workers start ahead, and one measures at a time."""

from __future__ import annotations

import argparse
import math
import shutil
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

from benchmarks.cuda.results import Throughput
from benchmarks.harness import measure
from benchmarks.harness.measure import OVER, Limits, Outcome
from benchmarks.harness.pool import at_once
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import Device, Lane
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_parity.workspace import Progress
from vgg16_spec.checkpoint import Checkpoint

_WORKER: Final = "benchmarks.cuda.worker"
_SIDE: Final = {"cpu": 256, "cuda": 8192}
_RATE_SECONDS: Final = 60.0


class Exports:
    """Graphs for ONNX Runtime, each exported once for all lanes of its precision.

    Args:
        checkpoint: the weights' file.
        limits: those of an export.
        progress: called with the name of each export.
    """

    def __init__(self, checkpoint: str, limits: Limits, progress: Progress) -> None:
        self._checkpoint = checkpoint
        self._limits = limits
        self._progress = progress
        self._locks: dict[Path, Lock] = {}
        self._exported: dict[Path, str] = {}

    def of(self, runtime: Runtime, lane: Lane, folder: Path) -> tuple[str, str]:
        """Where in a folder the graph is, and why it is not; a runtime may read none."""
        model = folder / f"{runtime.name}-{lane.precision}"
        if not runtime.onnx or lane.precision == "bfloat16":
            return str(model), ""
        with self._locks.setdefault(model, Lock()):
            if model not in self._exported:
                self._exported[model] = self._export(runtime, lane, model)
            return str(model), self._exported[model]

    def _export(self, runtime: Runtime, lane: Lane, model: Path) -> str:
        left = self._limits.deadline - time.monotonic()
        if left <= 0:
            return OVER
        self._progress(f"export: {runtime.name} ({lane.precision})")
        place = str(model.with_name(f"export-{model.name}"))
        job = Job("export", runtime, lane.name, self._checkpoint, place, model=str(model))
        error = process.work(job, timeout=min(left, self._limits.seconds)).error
        if error:
            shutil.rmtree(model, ignore_errors=True)
        late = error.startswith(process.STOPPED) and left < self._limits.seconds
        return OVER if late else error


class Speed:
    """Throughput, and the rates of matrix products that bound it, as they are measured.

    While one worker measures, the next ones import their frameworks and load the network, as many
    as ``--at-once`` allows.

    Args:
        chosen: the command's options.
        checkpoint: with the classifier, in a file.
        deadline: the time of ``time.monotonic`` after which nothing is started, and a running
            worker is stopped; its entry says so.
        progress: called with the name of each stage.
    """

    def __init__(
        self,
        chosen: argparse.Namespace,
        checkpoint: Checkpoint,
        *,
        deadline: float,
        progress: Progress,
    ) -> None:
        self.rates: dict[str, float] = {}
        self.entries: list[Throughput] = []
        self._chosen = chosen
        self._device: Device = chosen.device
        self._checkpoint = str(checkpoint.file.resolve())
        self._deadline = deadline
        self._progress = progress
        self._modes: set[str] = set()
        limits = worker_limits(chosen, deadline=deadline)
        self._exports = Exports(self._checkpoint, limits, progress)

    def measure(
        self, runtimes: Sequence[Runtime], lanes: Sequence[Lane], folder: Path
    ) -> Generator[None, None, None]:
        """Measure every runtime in every lane, in order; yields when the results have grown.

        Args:
            runtimes: of the registry.
            lanes: that the device has.
            folder: for exported graphs, which later calls use again.
        """
        with at_once(self._chosen.at_once) as pool:
            started = [
                (
                    [pool.submit(self._rate, lane, folder)] if self._is_new(lane) else [],
                    [pool.submit(self._entry, runtime, lane, folder) for runtime in runtimes],
                )
                for lane in lanes
            ]
            for rates, entries in started:
                for rate in rates:
                    self.rates |= rate.result()
                for entry in entries:
                    self.entries += entry.result()
                    yield

    def _is_new(self, lane: Lane) -> bool:
        """Whether no lane before had the same mode."""
        mode = _mode(lane, self._device)
        new = mode not in self._modes
        self._modes.add(mode)
        return new

    def _rate(self, lane: Lane, folder: Path) -> dict[str, float]:
        """The FLOP/s of a large matrix product in the lane's mode; empty without."""
        mode = _mode(lane, self._device)
        if self._left() <= 0:
            return {}
        self._progress(f"matrix rate: {mode}")
        job = {
            "task": "rate",
            "size": self._chosen.side or _SIDE[self._device],
            "seconds": self._chosen.each,
        }
        # The lane default is judged as TF32, but PyTorch's own default computes in IEEE float32.
        measured_in = "tf32" if mode == "tf32" else lane.name
        outcome = self._work(job, measured_in, RUNTIMES["torch"], folder, at_most=_RATE_SECONDS)
        if outcome.error:
            self._progress(f"matrix rate, {mode}: {outcome.error}")
            return {}
        return {mode: outcome.result["flops"]}

    def _entry(self, runtime: Runtime, lane: Lane, folder: Path) -> list[Throughput]:
        """An entry for each batch size, or one with the reason why there is none."""
        about = (runtime.name, lane.name, _mode(lane, self._device))
        if reason := runtime.missing(self._device):
            return [Throughput(*about, reason=reason)]
        model, reason = self._exports.of(runtime, lane, folder)
        if reason:
            return [Throughput(*about, reason=reason)]
        if self._left() <= 0:
            return [Throughput(*about, reason=OVER)]
        self._progress(f"throughput: {runtime.name} ({lane.name})")
        job = {
            "task": "throughput",
            "runtime": runtime.name,
            "checkpoint": self._checkpoint,
            "model": model,
            "batches": [int(number) for number in self._chosen.batches.split(",")],
            "seconds": self._chosen.each,
        }
        outcome = self._work(job, lane.name, runtime, folder)
        measured = [
            Throughput(*about, each["batch"], each["seconds"], each["runs"], each["error"])
            for each in outcome.result.get("batches", [])
        ]
        reason = outcome.error.removeprefix("Unavailable: ")
        return [*measured, Throughput(*about, reason=reason)] if reason else measured

    def _work(
        self,
        job: dict[str, Any],
        lane: str,
        runtime: Runtime,
        folder: Path,
        at_most: float = math.inf,
    ) -> Outcome:
        """Do one job in a worker, which measures while no other does."""
        limits = worker_limits(self._chosen, at_most, self._deadline)
        alone = {**job, "lock": str(folder / "measuring.lock")}
        return work(alone, lane, runtime, self._device, limits)

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def worker_limits(
    chosen: argparse.Namespace, at_most: float = math.inf, deadline: float = math.inf
) -> Limits:
    """The limits of ``--at-most`` and ``--memory-limit``, and lower ones where given."""
    return Limits(min(at_most, chosen.at_most), int(chosen.memory_limit * 2**30), deadline)


def work(
    job: dict[str, Any], lane: str, runtime: Runtime, device: Device, limits: Limits
) -> Outcome:
    """Do one job of ``benchmarks.cuda.worker`` in a process with the lane's environment."""
    environment = process.environment(Job("run", runtime, lane, "", "", device))
    # TensorFlow would reserve the whole GPU, also beside another worker.
    environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    job = {**job, "lane": lane, "device": device}
    return measure.run(_WORKER, job, limits, environment, gpu=device == "cuda")


def _mode(lane: Lane, device: Device) -> str:
    mode = lane.mode(device)
    assert mode is not None
    return mode.name
