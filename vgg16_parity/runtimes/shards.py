"""The logits of a data set's shards: what a worker is to compute, and how it does so.

The network is loaded once. Pixels come as files, one per shard, while the worker computes; every
shard's logits become a file of their own, whole or not at all.

With views, a picture's pixels are whole pictures of different sizes, one for each scale: a shard's
file holds one ``.npy`` array after the other and is read picture by picture.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import refusal
from vgg16_parity.runtimes.adapters.framework import DenseEvaluator, Evaluator
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.images.views import Views, averaged_log_posteriors, logits_of_views

# The context in which a named stage's seconds are counted.
Stage = Callable[[str], AbstractContextManager[None]]
Pixels = NDArray[np.uint8]
Logits = NDArray[np.floating[Any]]

# Why a runtime cannot compute views of any size.
NOT_DENSE: Final = (
    "it takes images of the network's own size only, not whole pictures; --crops 50 needs no others"
)
_POLL_SECONDS: Final = 0.02


@runtime_checkable
class ReadsPixels(Protocol):
    """A network that may do the recipe's arithmetic itself.

    ``any_size`` says whether it takes larger images than the network's own size: applied densely.
    """

    any_size: bool

    def pixel_logits(self, pixels: Pixels, recipe: Recipe) -> NDArray[Any]:
        """(N, classes) of RGB pixels (N, H, W, 3)."""


@dataclass(frozen=True)
class Plan:
    """What to compute, in a file: a data set has more shards than a command line has room for.

    Attributes:
        recipe: by which images are prepared, whatever the checkpoint's file states.
        batch: how many images are computed at once; the last of a shard are fewer. Views are
            computed in calls of their own size.
        classes: of the network.
        shards: (pixels, result) each: the file of the shard's RGB pixels, which may still be
            missing, and the ``.npy`` file to write, logits (N, classes) float32. The pixels are one
            array (N, H, W, 3); with views, an array (H, W, 3) for each picture and scale.
        views: which to average the posteriors of, so that the results are log-posteriors (N,
            classes) float64; None without.
    """

    recipe: Recipe
    batch: int
    classes: int
    shards: tuple[tuple[str, str], ...]
    views: Views | None = None

    @property
    def dense(self) -> bool:
        """Whether whole pictures are computed, of any size."""
        return self.views is not None and not self.views.crops

    def write(self, path: Path) -> None:
        """Write it for a worker."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The inverse of `write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        fields, views = values["recipe"], values["views"]
        values |= {
            "recipe": Recipe(**fields | {key: tuple(fields[key]) for key in ("mean", "std")}),
            "shards": tuple(map(tuple, values["shards"])),
            "views": views and Views(**views | {"scales": tuple(views["scales"])}),
        }
        return cls(**values)


def result_type(views: Views | None) -> str:
    """Of the numbers in a result: logits are float32, averages of posteriors float64."""
    return "float64" if views else "float32"


def stop_file(plan: Path) -> Path:
    """What appears where no more pixels will come; its text says why."""
    return plan.with_suffix(".stop")


def done_file(job: Job) -> Path:
    """Where a worker keeps how many images it has computed, for whoever shows progress."""
    return Path(job.folder) / "done"


def compute(
    job: Job, network: Evaluator, stage: Stage, computed_one: Callable[[], None] = lambda: None
) -> None:
    """Compute the job's shards in order, each when its pixels are there.

    Before each shard's file is written, ``computed_one`` is called.

    Raises ``BadInput`` where no more pixels come, where the network gives no logits, and where a
    result cannot be written; ``Unavailable`` where the network cannot compute such views.
    """
    path = Path(job.plan)
    plan, computed = Plan.read(path), 0
    require_views(network, plan)

    def count(images: int) -> None:
        nonlocal computed
        computed += images
        with suppress(OSError):  # it is for show
            done_file(job).write_text(str(computed), encoding="utf-8")

    for pixels, result in plan.shards:
        with stage("wait"):
            _await(Path(pixels), stop_file(path))
        with stage("run"):
            logits = shard_logits(network, read_arrays(Path(pixels)), plan, job.runtime.name, count)
        computed_one()
        write_array(Path(result), logits)


def require_views(network: Evaluator, plan: Plan) -> None:
    """Raise ``Unavailable`` where a network cannot compute the plan's views."""
    if plan.dense and not _applies_densely(network):
        raise Unavailable(NOT_DENSE)


def shard_logits(
    network: Evaluator,
    arrays: Iterable[Pixels],
    plan: Plan,
    runtime: str,
    count: Callable[[int], object] = id,
) -> Logits:
    """A shard's results (N, classes), in the plan's batches: the same images give the same bits.

    Args:
        network: a runtime's.
        arrays: the shard's RGB pixels, as its file has them.
        plan: its shards do not matter.
        runtime: its name, for messages.
        count: called with the number of images of each batch, when it is computed.

    Raises ``BadInput`` where the network gives no logits.
    """
    blocks: list[Logits] = [np.empty((0, plan.classes), result_type(plan.views))]
    for block in _blocks(network, arrays, plan, runtime):
        blocks.append(block)
        count(len(block))
    return np.concatenate(blocks)


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write a ``.npy`` file, whole or not at all; the same values give the same bytes."""
    write_arrays(path, [values])


def write_arrays(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
    """Write one ``.npy`` array after the other into a file, as `write_array`."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for values in arrays:
            np.save(file, values, allow_pickle=False)


def read_arrays(path: Path) -> Iterator[NDArray[Any]]:
    """The inverse of `write_arrays`, with one array in memory at a time."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            yield np.load(file, allow_pickle=False)


def _blocks(
    network: Evaluator, arrays: Iterable[Pixels], plan: Plan, runtime: str
) -> Iterator[Logits]:
    """The results of a shard's images, in order, (N, classes) of some at once."""

    def computed(pixels: Pixels) -> Logits:
        found = _logits(network, pixels, plan)
        if reason := refusal(found, (len(pixels), plan.classes)):
            raise BadInput(runtime, f"gave no logits ({reason})", "finite logits")
        return found

    if plan.views is None:
        (pixels,) = arrays
        for start in range(0, len(pixels), plan.batch):
            yield computed(pixels[start : start + plan.batch]).astype(np.float32, copy=False)
        return
    each = iter(arrays)
    # A picture is as many arrays as there are scales.
    for wholes in zip(*[each] * len(plan.views.scales), strict=True):
        yield averaged_log_posteriors(logits_of_views(wholes, plan.views, computed))[np.newaxis]


def _logits(network: Evaluator, pixels: Pixels, plan: Plan) -> Logits:
    if isinstance(network, ReadsPixels):
        return network.pixel_logits(pixels, plan.recipe)
    images = normalise(pixels, plan.recipe)
    if plan.dense and isinstance(network, DenseEvaluator):
        return network.dense(images)
    return np.asarray(network.forward(images, logits_only=True)["predictions"])


def _applies_densely(network: Evaluator) -> bool:
    if isinstance(network, ReadsPixels):
        return network.any_size
    return isinstance(network, DenseEvaluator)


def _await(file: Path, stop: Path) -> None:
    """Wait until a file is there."""
    parent = os.getppid()
    while not file.exists():
        if stop.exists():
            raise BadInput("pixels", stop.read_text(encoding="utf-8") or "no more will come")
        if os.getppid() != parent:  # nobody is left to write them
            raise BadInput("pixels", "the process that decodes them has ended")
        time.sleep(_POLL_SECONDS)
