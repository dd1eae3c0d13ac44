"""Decodes and computes on a Ray cluster, by Ray Data.

Shards are rows. Tasks decode them, once for all runtimes, into Ray's object store. Then one runtime
after the other has a pool of actors on the whole cluster, so that a node holds one framework's
weights at a time, no runtime waits for another's processors, and one that fails ends alone. Ray
does the work of a node that dies again elsewhere, its share of the pixels too. This process writes
the files, those of the plain engine: they are what a later run goes on from, with either engine.
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np

from vgg16_parity.evaluate.computing import Engine, Setting
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.engines.connection import connected
from vgg16_parity.evaluate.engines.feeding import Feed
from vgg16_parity.evaluate.engines.nodes import (
    Actor,
    Row,
    decoded,
    job_files,
    undecoded_row,
    without_pixels,
)
from vgg16_parity.evaluate.identity import runtime_facts
from vgg16_parity.evaluate.shards import Shard
from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.process import own_environment, package_path
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.preprocessing import MAX_PIXELS

# What a task that decodes reserves of a processor. Actors leave as much: where a node dies, its
# pixels are decoded again while actors have all processors of the others.
_DECODING: Final = 0.01
# So often in turn nothing may be computed.
_ROUNDS: Final = 3


@dataclass(frozen=True)
class Ray:
    """A Ray cluster.

    Every node has the same environment as this machine, and reaches the images by their paths or
    URLs. A user's own port or ONNX file is at the same path everywhere. Weights, exported graphs
    and results travel through Ray.

    Attributes:
        address: as ``ray.init`` takes it: ``auto``, or HOST:PORT; None starts Ray on this machine.
        cpus: how many processors an actor has, which are the threads that it computes in; None
            takes as many as this machine has, or the largest node if that has fewer. Fewer threads
            may add up a sum in another order.
    """

    address: str | None = None
    cpus: int | None = None

    @contextmanager
    def opened(self, setting: Setting) -> Iterator[Engine]:
        """As ``vgg16_parity.evaluate.computing.Engines``."""
        if self.cpus is not None and self.cpus < 1:
            raise BadInput("the processors of an actor", f"are {self.cpus}", "1 or more")
        with connected(self.address) as ray:
            largest = int(max((node.get("CPU", 0) for node in _nodes(ray)), default=0))
            cpus = self.cpus or min(cores() or 1, largest) or 1
            if largest < cpus:
                problem = f"{cpus} are more than the {largest} of the largest node"
                raise BadInput("the processors of an actor", problem, f"1 to {largest}")
            yield _Cluster(ray, setting, cpus)


class _Cluster:
    def __init__(self, ray: Any, setting: Setting, cpus: int) -> None:
        self._ray, self._setting, self._cpus = ray, setting, cpus
        # Tables of a row each, in the cluster's object store.
        self._tables: dict[Shard, Any] = {}
        self.decode_seconds = 0.0

    def compute(self, job: Job, results: Mapping[Shard, Path]) -> Record:
        """As `Engine`."""
        if not self._room(job):
            return Record(error="no node of the cluster has room for an actor", unavailable=True)
        self._decode([shard for shard in results if shard not in self._tables])
        lacking = {shard.index: shard for shard in results}
        total, done, rounds, records = sum(len(s.items) for s in results), 0, 0, dict[str, Record]()
        with self._setting.counting(job.runtime.name, "images") as update:
            update(0, total)
            # What an actor had begun that died is left to another round.
            while lacking:
                rounds += 1
                rows = self._logits(job, [self._tables[shard] for shard in lacking.values()])
                try:
                    for row in rows:
                        record = Record(**json.loads(row["record"]))
                        if record.error:
                            return record
                        shard = lacking.pop(row["shard"])
                        _write(results[shard], row["logits"])
                        records[row["worker"]] = record
                        done, rounds = done + len(shard.items), 0
                        update(done, total)
                except self._ray.exceptions.RayError as error:
                    if rounds == _ROUNDS:
                        return Record(error=f"Ray: {_first_line(error)}")
                finally:
                    rows.close()
                if rounds == _ROUNDS:
                    return Record(error=f"{rounds} times every actor that Ray started has died")
        return reduce(_sum, records.values(), Record())

    def _resources(self, job: Job) -> dict[str, float]:
        """What an actor reserves."""
        return {"num_cpus": self._cpus - _DECODING} | (
            {"num_gpus": 1} if job.device == "cuda" else {}
        )

    def _room(self, job: Job) -> int:
        """How many actors the nodes have room for; others may be added."""
        reserved = self._resources(job)
        return sum(
            int(min(node.get(name[4:-1].upper(), 0) // count for name, count in reserved.items()))
            for node in _nodes(self._ray)
        )

    def _logits(self, job: Job, tables: list[Any]) -> Generator[Row, None, None]:
        """Rows with the logits of shards as they are computed."""
        ray, setting = self._ray, self._setting
        model = Path(job.model) if job.model else None
        files = job_files(Path(job.checkpoint), model)
        stored = {name: ray.put(np.fromfile(path, np.uint8)) for name, path in files.items()}
        feed = Feed(
            job,
            setting.plan(()),
            runtime_facts(job.runtime),
            self._cpus,
            os.environ.get("OMP_NUM_THREADS", ""),
            setting.timeout,
        )
        most = len(tables)
        given = ray.data.from_arrow_refs(tables)
        given.context.max_errored_blocks = -1
        with warnings.catch_warnings():
            # Ray 2.64 will name another way to set the restarts.
            warnings.simplefilter("ignore", DeprecationWarning)
            computed = given.map(
                Actor,
                fn_constructor_args=(feed, stored),
                compute=ray.data.ActorPoolStrategy(
                    min_size=1,
                    max_size=most,
                    initial_size=max(1, min(self._room(job), most)),
                    # The next shard is on its way meanwhile.
                    max_tasks_in_flight_per_actor=2,
                ),
                # Ray would have what a dead actor had begun wait until there is room for it again.
                max_restarts=0,
                max_task_retries=0,
                runtime_env={"env_vars": _variables(job)},
                **self._resources(job),
            )
        yield from computed.iter_rows()

    def _processors(self) -> int:
        return int(sum(node.get("CPU", 0) for node in _nodes(self._ray)))

    def _decode(self, shards: Sequence[Shard]) -> None:
        """Decode shards into the object store. Raises ``BadInput`` where an image is gone."""
        if not shards:
            return
        ray, setting = self._ray, self._setting
        by_index = {shard.index: shard for shard in shards}
        undecoded = [undecoded_row(shard.index, shard.key, shard.items) for shard in shards]
        environment = {"env_vars": _variables()}
        try:
            tables = (
                ray.data.from_items(undecoded, override_num_blocks=len(undecoded))
                .map(
                    decoded,
                    fn_args=(setting.checkpoint.recipe, setting.size, setting.views),
                    compute=ray.data.TaskPoolStrategy(
                        size=max(1, min(self._processors(), len(undecoded)))
                    ),
                    num_cpus=_DECODING,
                    runtime_env=environment,
                )
                .materialize()
                .to_arrow_refs()
            )
            few = ray.remote(without_pixels).options(
                num_cpus=_DECODING, max_retries=-1, runtime_env=environment
            )
            rows = ray.get([few.remote(table) for table in tables])
        except ray.exceptions.RayError as error:
            problem = f"cannot decode pictures there ({_first_line(error)})"
            raise BadInput("Ray", problem, "the same environment on every node") from error
        for table, row in zip(tables, rows, strict=True):
            if row["refusal"]:
                raise pickle.loads(row["refusal"])  # noqa: S301 (of our own nodes)
            shard = by_index[row["shard"]]
            reasons = json.loads(row["unreadable"]).items()
            skipped = {int(n): Skipped(shard.items[int(n)].name, why) for n, why in reasons}
            setting.folder.write_unreadable(shard, skipped)
            if setting.keep_pixels:
                pixels = ray.get(table).column("pixels")[0].as_py()
                _write(setting.folder.pixels(shard), pixels)
            self._tables[shard] = table
            self.decode_seconds += row["seconds"]


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _variables(job: Job | None = None) -> dict[str, str]:
    """The variables of what runs on nodes: where this package is, and those of a runtime."""
    ours = {name: os.environ[name] for name in (MAX_PIXELS,) if name in os.environ}
    return ours | (package_path() if job is None else own_environment(job))


def _write(file: Path, content: bytes) -> None:
    with whole_file(file) as temporary:
        temporary.write_bytes(content)


def _sum(first: Record, second: Record) -> Record:
    """Of two workers of one runtime: seconds are added, the larger memory is kept."""
    stages = [*first.seconds, *(each for each in second.seconds if each not in first.seconds)]
    seconds = {s: first.seconds.get(s, 0.0) + second.seconds.get(s, 0.0) for s in stages}
    peak = max(first.peak_bytes, second.peak_bytes)
    return replace(second, seconds=seconds, peak_bytes=peak)


def _first_line(error: Exception) -> str:
    """Of what was raised on a node: Ray puts its own lines before it."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
