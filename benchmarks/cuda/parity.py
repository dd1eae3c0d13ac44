"""The parity half of ``benchmarks.cuda``: the report of ``vgg16 parity``, within a time limit."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from benchmarks.harness.measure import OVER
from benchmarks.harness.pool import at_once
from onnx_arbiter.memory import peak_memory
from vgg16_parity import inputs
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import Device, Lane
from vgg16_parity.runtimes.process import STOPPED
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.workspace import Progress, Workspace, in_file
from vgg16_spec.checkpoint import Checkpoint

# The lanes that run on the CPU too. The others are slow there, and nobody would use them.
_ON_CPU_TOO: Final = ("strict",)


class Parity:
    """A parity report that grows with every runtime and lane.

    Args:
        checkpoint: with the classifier; its recipe prepares the images.
        images: picture files.
        device: where the runtimes run.
        deadline: the time of ``time.monotonic`` after which nothing is started, and a running
            worker is stopped; its row says so.
        progress: called with the name of each stage.
        at_once: how many rows to work on at a time.
        at_most: seconds that one worker may take.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        images: Sequence[Path],
        device: Device,
        *,
        deadline: float,
        progress: Progress,
        at_once: int = 1,
        at_most: float = math.inf,
    ) -> None:
        self._checkpoint = checkpoint
        self._images = images
        self._device = device
        self._deadline = deadline
        self._progress = progress
        self._at_once = at_once
        self._at_most = at_most
        self._rows: list[Row] = []
        self._cases: tuple[CaseFacts, ...] = ()
        self._arbiter_seconds = 0.0

    def judge(self, runtimes: Sequence[Runtime], lanes: Sequence[Lane]) -> Iterator[None]:
        """Judge every runtime in every lane on the device; yields when the report has grown."""
        with tempfile.TemporaryDirectory(prefix="vgg16-cuda-") as folder:
            stored = in_file(self._checkpoint, Path(folder), self._progress)
            workspace = _InTime(
                stored, Path(folder), self._at_most, self._progress, deadline=self._deadline
            )
            expectations = []
            if time.monotonic() < self._deadline:
                start = time.perf_counter()
                case = inputs.pictures(self._checkpoint, self._images)
                pairs = [(lane, place) for lane in lanes for place in self._places(lane)]
                found = [mode for lane, place in pairs if (mode := lane.mode(place)) is not None]
                modes = {mode.name: mode for mode in found}
                expectations = workspace.expect([case], list(modes.values()), logits_only=False)
                self._arbiter_seconds += time.perf_counter() - start
                self._cases = tuple(CaseFacts.of(each, self._images) for each in expectations)
            with at_once(self._at_once) as pool:
                waiting = [
                    pool.submit(
                        workspace.rows, runtime, lane, self._places(lane), expectations, "layers"
                    )
                    for lane in lanes
                    for runtime in runtimes
                ]
                for rows in waiting:
                    self._rows += rows.result()
                    yield

    def _places(self, lane: Lane) -> tuple[Device, ...]:
        both = self._device == "cuda" and lane.name in _ON_CPU_TOO
        return ("cpu", "cuda") if both else (self._device,)

    @cached_property
    def _weights(self) -> Weights:
        return Weights.of(self._checkpoint)

    @property
    def report(self) -> Report:
        """The report so far."""
        return Report(
            weights=self._weights,
            cases=self._cases,
            device="both" if self._device == "cuda" else "cpu",
            arbiter_seconds=self._arbiter_seconds,
            peak_bytes=peak_memory(),
            all_required=False,
            rows=tuple(self._rows),
        )


@dataclass(frozen=True)
class _InTime(Workspace):
    """A workspace that does not run what is not started, or not done, at the deadline."""

    deadline: float = math.inf

    def work(self, job: Job) -> Record:
        """Do a job in a worker, as every workspace does, in the time that is left."""
        over = Record(error=OVER, unavailable=True)
        left = self.deadline - time.monotonic()
        if left <= 0:
            return over
        timeout = left if self.timeout is None else min(left, self.timeout)
        record = Workspace.work(replace(self, timeout=timeout), job)
        # Any other failure is the runtime's own, even this late.
        late = record.error.startswith(STOPPED) and timeout == left
        return over if late else record
