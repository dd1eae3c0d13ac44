"""What a Ray cluster's nodes do: decode a shard's pictures, and compute its logits.

A row is a shard. Rows have text and bytes only: Ray keeps them in Arrow's format.
"""

from __future__ import annotations

import json
import pickle
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.engines.feeding import FedWorker, Feed, WorkerEnded
from vgg16_parity.evaluate.pixels import Pixels, Room, prepared, prepared_for_views
from vgg16_parity.evaluate.shards import cut
from vgg16_parity.runtimes.job import Record
from vgg16_spec.errors import BadInput
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.images.views import Views

Row = dict[str, Any]
# What a job's paths are called below an actor's folder.
CHECKPOINT: Final = "checkpoint.safetensors"
MODEL: Final = "model"


def undecoded_row(index: int, key: str, items: tuple[Item, ...]) -> Row:
    """What `decoded` gets."""
    return {"shard": index, "key": key, "items": pickle.dumps(items)}


def decoded(row: Row, recipe: Recipe, size: int, views: Views | None) -> Row:
    """Decode a shard's pictures, as the plain engine prepares them.

    The row has ``pixels``, the content of the shard's file; ``unreadable``, a JSON object of places
    and reasons; ``seconds`` of a processor; and ``refusal``, a ``BadInput`` or nothing.
    """
    items: tuple[Item, ...] = pickle.loads(row["items"])  # noqa: S301 (of our own process)
    start, file = time.thread_time(), BytesIO()
    unreadable, refusal = dict[int, str](), b""
    try:
        if cut(items, recipe, size, views)[0].key != row["key"]:
            problem = "a node prepares pictures by another release of vgg16-parity or of Pillow"
            raise BadInput("Ray", problem, "the same environment on every node")
        for array in _arrays(items, recipe, size, views, unreadable):
            np.save(file, array, allow_pickle=False)
    except BadInput as error:
        refusal = pickle.dumps(error)
    return {
        "shard": row["shard"],
        "pixels": file.getvalue(),
        "unreadable": json.dumps(unreadable),
        "seconds": time.thread_time() - start,
        "refusal": refusal,
    }


def _arrays(
    items: Iterable[Item],
    recipe: Recipe,
    size: int,
    views: Views | None,
    unreadable: dict[int, str],
) -> Iterator[Pixels]:
    """The arrays of a shard's file; what is no picture is put into ``unreadable``."""
    room, rows = Room(), list[Pixels]()
    for place, item in enumerate(items):
        found: Pixels | tuple[Pixels, ...] | Skipped
        if views is None:
            found = prepared(item, recipe, size, room)
        else:
            found = prepared_for_views(item, recipe, views, room)
        if isinstance(found, Skipped):
            unreadable[place] = found.reason
        elif isinstance(found, tuple):
            yield from found
        else:
            rows.append(found)
    if views is None:
        yield np.array(rows, np.uint8).reshape(-1, size, size, 3)


def without_pixels(table: Any) -> Row:
    """What `decoded` found of a shard, in a table, without its pixels."""
    (row,) = table.drop_columns(["pixels"]).to_pylist()
    found: Row = row
    return found


class Actor:
    """One of a runtime's pool: a worker process beside it computes.

    It is started with the first shard, so that what keeps it from starting is a record. A process
    of its own has the environment of the plain engine's, and may crash.

    Args:
        feed: what to compute.
        files: path below the job's folder -> a reference to the bytes, an array of uint8.
    """

    def __init__(self, feed: Feed, files: Mapping[str, Any]) -> None:
        self._feed, self._files = feed, files
        self._name = uuid.uuid4().hex
        self._stack = ExitStack()
        self._worker: FedWorker | None = None
        self._failed: Record | None = None

    def __call__(self, row: Row) -> Row:
        """The row has ``logits``, the content of a ``.npy`` file, and what the worker reports."""
        logits = b""
        try:
            if self._failed is not None:
                raise WorkerEnded(self._failed)
            if self._worker is None:
                self._worker = self._fed()
            logits, record = self._worker.compute(row["pixels"])
        except WorkerEnded as ended:
            self._failed = record = ended.record
        except (BadInput, OSError) as error:  # of the node's disk
            self._failed = record = Record(error=str(error))
        return {
            "shard": row["shard"],
            "logits": logits,
            "worker": self._name,
            "record": json.dumps(asdict(record)),
        }

    def _fed(self) -> FedWorker:
        import ray

        place = self._stack.enter_context(scratch_folder("vgg16-ray"))
        for name, reference in self._files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(ray.get(reference).data)
        model = str(place / MODEL) if self._feed.job.model else ""
        job = replace(self._feed.job, checkpoint=str(place / CHECKPOINT), model=model)
        worker = FedWorker(replace(self._feed, job=job), place)
        self._stack.callback(worker.close)
        return worker

    def __del__(self) -> None:
        # Ray ends actors whose pool is no longer needed. Of those that are killed the next one on
        # the node removes what is left.
        self._stack.close()


def job_files(checkpoint: Path, model: Path | None) -> dict[str, Path]:
    """Path below an actor's folder -> the file here: the weights, and the graph if there is one."""
    files = {CHECKPOINT: checkpoint}
    if model is not None:
        found = (path for path in sorted(model.rglob("*")) if path.is_file())
        files |= {f"{MODEL}/{path.relative_to(model).as_posix()}": path for path in found}
    return files
