"""The parity half of ``benchmarks.cuda``: a report like ``vgg16 parity``'s, within a time."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vgg16_parity import inputs
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.run import Progress, Workspace, in_file
from vgg16_parity.runtimes.lanes import LANES, Device, Lane
from vgg16_parity.runtimes.process import STOPPED, Depth, Record, RunJob, peak_memory
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec.checkpoint import Checkpoint

_OVER: Final = "the time for all runs was over"
# The lanes in which the CPU is run too. Fewer bits are slow there, and nobody's reason to use one.
_BESIDE: Final = ("strict",)


def run(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtimes: Sequence[Runtime],
    lanes: Sequence[str],
    device: Device,
    *,
    deadline: float,
    progress: Progress,
) -> Report:
    """Judge every runtime in every lane on the device, the strict lane on the CPU too.

    Args:
        checkpoint, images, runtimes, progress: as for ``vgg16_parity.run.run_parity``.
        lanes: which, the first first; one that the device lacks is left out.
        device: where to run.
        deadline: the moment of ``time.monotonic`` after which nothing more is started and what runs
            is stopped; a row says so.
    """
    case = inputs.pictures(checkpoint, images)
    jobs = list(_jobs(runtimes, lanes, device))
    modes = {
        mode.name: mode
        for _, lane, places in jobs
        for place in places
        if (mode := lane.mode(place)) is not None
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vgg16-cuda-") as folder:
        stored = in_file(checkpoint, Path(folder), progress)
        workspace = _InTime(stored, Path(folder), None, progress, deadline=deadline)
        start = time.perf_counter()
        expectations = workspace.expect([case], list(modes.values()), logits_only=False)
        seconds = time.perf_counter() - start
        for runtime, lane, places in jobs:
            rows += workspace.rows(runtime, lane, places, expectations, "layers")
        facts = tuple(CaseFacts.of(expectation, images) for expectation in expectations)
    ran: Literal["cpu", "cuda", "both"] = "both" if device == "cuda" else "cpu"
    return Report(
        weights=Weights.of(checkpoint),
        cases=facts,
        device=ran,
        arbiter_seconds=seconds,
        peak_bytes=peak_memory(),
        all_required=False,
        rows=tuple(rows),
    )


@dataclass(frozen=True)
class _InTime(Workspace):
    """A workspace where what is not started, or not done, at the deadline was not run."""

    deadline: float = math.inf

    def run(
        self, runtime: Runtime, lane: Lane, device: Device, cases: Sequence[Path], depth: Depth
    ) -> tuple[RunJob, Record]:
        """As of every workspace."""
        over = Record(error=_OVER, unavailable=True)
        left = self.deadline - time.monotonic()
        if left <= 0:
            return RunJob(runtime, lane.name, "", "", device, (), depth), over
        limited = Workspace(self.checkpoint, self.folder, left, self.progress)
        job, record = limited.run(runtime, lane, device, cases, depth)
        # Any other failure is the runtime's own, also this late.
        return job, over if record.error.startswith(STOPPED) else record


def _jobs(
    runtimes: Sequence[Runtime], lanes: Sequence[str], device: Device
) -> Iterator[tuple[Runtime, Lane, tuple[Device, ...]]]:
    for name in lanes:
        lane = LANES[name]
        if lane.mode(device) is None:
            continue
        places: tuple[Device, ...] = ("cpu", "cuda") if name in _BESIDE else (device,)
        for runtime in runtimes:
            yield runtime, lane, places if device == "cuda" else (device,)
