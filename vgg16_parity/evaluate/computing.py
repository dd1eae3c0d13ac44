"""Has an engine compute the shards that each runtime lacks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.folder import RunFolder
from vgg16_parity.evaluate.graphs import Graphs
from vgg16_parity.evaluate.identity import runtime_facts
from vgg16_parity.evaluate.measured import MeasuredRuntime
from vgg16_parity.evaluate.shards import VERSION, Shard, key
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import Device, Lane
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.runtimes.shards import NOT_DENSE, Plan, result_type
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.views import Views

# What to call with how many things are done, and of how many.
Update = Callable[[int, int | None], object]
# Shown while things are done one by one: the stage, and what the things are.
Counting = Callable[[str, str], AbstractContextManager[Update]]


def quietly(stage: str, things: str) -> AbstractContextManager[Update]:
    """Shows nothing."""
    del stage, things
    return nullcontext(lambda *_: None)


@dataclass(frozen=True)
class Setting:
    """What an engine computes for.

    Attributes:
        folder: the evaluation's.
        checkpoint: in a canonical file; its recipe prepares the images.
        batch, views, keep_pixels, timeout, counting: as ``vgg16_parity.evaluate.run.evaluate`` has
            them.
    """

    folder: RunFolder
    checkpoint: Checkpoint
    batch: int
    views: Views | None
    keep_pixels: bool
    timeout: float | None
    counting: Counting

    @property
    def size(self) -> int:
        """The side of the network's input in pixels."""
        return self.checkpoint.configuration.input_size

    def plan(self, shards: tuple[tuple[str, str], ...]) -> Plan:
        """The plan of a worker that computes shards, each with its files of pixels and results."""
        classes = self.checkpoint.configuration.classes
        return Plan(self.checkpoint.recipe, self.batch, classes, shards, self.views)


class Engine(Protocol):
    """Decodes pictures, each once, and has runtimes compute shards of them."""

    @property
    def decode_seconds(self) -> float:
        """How many seconds processors have spent on pictures."""

    def compute(self, job: Job, results: Mapping[Shard, Path]) -> Record:
        """Leave a runtime's logits of each shard, and which of its images are unreadable.

        Args:
            job: of the runtime. Its plan and its folder's parent are places of its own.
            results: shard -> the file to write.

        What keeps the runtime from it is the record's error. Raises ``BadInput`` where an image
        cannot be read any more.
        """


class Engines(Protocol):
    """A kind of engine, and how it is set."""

    def opened(self, setting: Setting) -> AbstractContextManager[Engine]:
        """An engine for an evaluation. Raises ``BadInput`` where it cannot be had."""


@dataclass(frozen=True)
class Run:
    """One evaluation.

    Attributes:
        checkpoint: in a canonical file.
        shards: of the data set.
        folder: the evaluation's.
        graphs: what exports graphs.
        engine: what decodes and computes.
        device, batch, views: as ``vgg16_parity.evaluate.run.evaluate`` has them.
    """

    checkpoint: Checkpoint
    shards: tuple[Shard, ...]
    folder: RunFolder
    graphs: Graphs
    engine: Engine
    device: Device
    batch: int
    views: Views | None

    def runtime(self, runtime: Runtime, lane: Lane) -> MeasuredRuntime:
        """Compute what a runtime lacks; what keeps it from that is a record."""
        entry = MeasuredRuntime(runtime, lane.name, self.device, "measured")
        if lane.mode(self.device) is None:
            reason = f"there is no lane {lane.name} on {self.device}"
            return replace(entry, status="not run", reason=reason)
        if reason := runtime.missing(self.device):
            return replace(entry, status="not run", reason=reason)
        if self.views and not self.views.crops and not runtime.may_be_dense:
            return replace(entry, status="not run", reason=NOT_DENSE)
        place = Path(tempfile.mkdtemp(prefix="job-", dir=self.graphs.scratch))
        job = Job(
            "shards",
            runtime,
            lane.name,
            checkpoint=str(self.checkpoint.file.resolve()),
            folder=str(place / "run"),
            device=self.device,
            depth="logits",
            plan=str(place / "plan.json"),
        )
        try:
            facts, graph, exported = runtime_facts(runtime), "", Record()
            if runtime.exported:
                job = replace(job, model=str(self.graphs.place(job)))
                graph, exported = self.graphs.digest(job)
        except BadInput as error:  # of a user's own file
            return replace(entry, status="failed", reason=str(error))
        if exported.error:
            return _failed(entry, exported)
        how = self.batch if self.views is None else asdict(self.views)
        of = key(VERSION, facts, self.graphs.weights, graph, lane.name, self.device, how)
        files = {s: self.folder.result(runtime.name, s, key(of, s.key)) for s in self.shards}
        lacking = [shard for shard, file in files.items() if not self._has(shard, file)]
        record = self.folder.timings(runtime.name, of) or Record()
        if lacking:
            if runtime.exported:
                regraph, again = self.graphs.export(job)
                exported = again
                if again.error:
                    return _failed(entry, again)
                if regraph != graph:  # a digest that was kept was of another graph
                    return self.runtime(runtime, lane)
            record = self._computed(job, {shard: files[shard] for shard in lacking})
            if record.error:
                return _failed(entry, record)
            costs = {f"export {stage}": spent for stage, spent in exported.seconds.items()}
            versions = exported.versions | record.versions
            record = replace(record, versions=versions, seconds=costs | record.seconds)
            self.folder.keep_timings(runtime.name, of, record)
        return replace(
            entry,
            files=tuple(files.values()),
            counts=tuple(self._readable(shard) for shard in self.shards),
            classes=self.checkpoint.configuration.classes,
            result_type=result_type(self.views),
            computed=sum(map(self._readable, lacking)),
            versions=record.versions,
            flags=record.flags,
            own_mode=record.own_mode,
            peak_bytes=record.peak_bytes,
            seconds=record.seconds if lacking else {},
        )

    def readable(self) -> tuple[tuple[Item, ...], tuple[Skipped, ...]]:
        """The images that were decoded, in this run or before, and those that are no pictures."""
        items: list[Item] = []
        unreadable: list[Skipped] = []
        for shard in self.shards:
            if self.folder.unreadable(shard).exists():
                skipped = self.folder.read_unreadable(shard)
                items += [each for n, each in enumerate(shard.items) if n not in skipped]
                unreadable += skipped.values()
        return tuple(items), tuple(unreadable)

    def _readable(self, shard: Shard) -> int:
        return len(shard.items) - len(self.folder.read_unreadable(shard))

    def _has(self, shard: Shard, file: Path) -> bool:
        return file.exists() and self.folder.unreadable(shard).exists()

    def _computed(self, job: Job, results: dict[Shard, Path]) -> Record:
        self.folder.results(job.runtime.name).mkdir(exist_ok=True)
        record = self.engine.compute(job, results)
        if not record.error and not all(self._has(*each) for each in results.items()):
            return replace(record, error="the worker left not every result")
        return record


def _failed(entry: MeasuredRuntime, record: Record) -> MeasuredRuntime:
    return replace(
        entry,
        status="not run" if record.unavailable else "failed",
        reason=record.error,
        versions=record.versions,
        flags=record.flags,
        peak_bytes=record.peak_bytes,
    )
