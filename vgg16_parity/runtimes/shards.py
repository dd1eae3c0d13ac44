"""The logits of a data set's shards: what a worker is to compute, and how it does so.

The network is loaded once. Pixels come as files, one per shard, while the worker computes; every
shard's logits become a file of their own, whole or not at all.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import refusal
from vgg16_parity.runtimes.adapters.framework import Evaluator
from vgg16_parity.runtimes.job import Job
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.images.recipes import Recipe

# The context in which a named stage's seconds are counted.
Stage = Callable[[str], AbstractContextManager[None]]
Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]

_POLL_SECONDS: Final = 0.02


@runtime_checkable
class ReadsPixels(Protocol):
    """A network that may do the recipe's arithmetic itself."""

    def pixel_logits(self, pixels: Pixels, recipe: Recipe) -> NDArray[Any]:
        """(N, classes) of RGB pixels (N, H, W, 3)."""


@dataclass(frozen=True)
class Plan:
    """What to compute, in a file: a data set has more shards than a command line has room for.

    Attributes:
        recipe: by which images are prepared, whatever the checkpoint's file states.
        batch: how many images are computed at once; the last of a shard are fewer.
        classes: of the network.
        shards: (pixels, result) each: a ``.npy`` file of the shard's RGB pixels (N, H, W, 3), which
            may still be missing, and the ``.npy`` file to write, logits (N, classes) float32.
    """

    recipe: Recipe
    batch: int
    classes: int
    shards: tuple[tuple[str, str], ...]

    def write(self, path: Path) -> None:
        """Write it for a worker."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The inverse of `write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        fields = values["recipe"]
        recipe = Recipe(**fields | {key: tuple(fields[key]) for key in ("mean", "std")})
        return cls(**values | {"recipe": recipe, "shards": tuple(map(tuple, values["shards"]))})


def stop_file(plan: Path) -> Path:
    """What appears where no more pixels will come; its text says why."""
    return plan.with_suffix(".stop")


def done_file(job: Job) -> Path:
    """Where a worker keeps how many images it has computed, for whoever shows progress."""
    return Path(job.folder) / "done"


def compute(job: Job, network: Evaluator, stage: Stage) -> None:
    """Compute the job's shards in order, each when its pixels are there.

    Raises ``BadInput`` where no more pixels come, where the network gives no logits, and where a
    result cannot be written.
    """
    path = Path(job.plan)
    plan, computed = Plan.read(path), 0

    def count(images: int) -> None:
        nonlocal computed
        computed += images
        with suppress(OSError):  # it is for show
            done_file(job).write_text(str(computed), encoding="utf-8")

    for pixels_file, result in plan.shards:
        with stage("wait"):
            pixels = _awaited(Path(pixels_file), stop_file(path))
        with stage("run"):
            logits = shard_logits(network, pixels, plan, job.runtime.name, count)
        write_array(Path(result), logits)


def shard_logits(
    network: Evaluator,
    pixels: Pixels,
    plan: Plan,
    runtime: str,
    count: Callable[[int], object] = id,
) -> Logits:
    """A shard's logits (N, classes), in the plan's batches: the same images give the same bits.

    Args:
        network: a runtime's.
        pixels: RGB (N, H, W, 3).
        plan: its shards do not matter.
        runtime: its name, for messages.
        count: called with the number of images of each batch, when it is computed.

    Raises ``BadInput`` where the network gives no logits, or any that are not finite.
    """
    logits = np.empty((len(pixels), plan.classes), np.float32)
    for start in range(0, len(pixels), plan.batch):
        images = pixels[start : start + plan.batch]
        computed = _logits(network, images, plan.recipe)
        if reason := refusal(computed, (len(images), plan.classes)):
            raise BadInput(runtime, f"gave no logits ({reason})", "finite logits")
        logits[start : start + len(images)] = computed
        count(len(images))
    return logits


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write a ``.npy`` file, whole or not at all; the same values give the same bytes."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _logits(network: Evaluator, pixels: Pixels, recipe: Recipe) -> NDArray[Any]:
    if isinstance(network, ReadsPixels):
        return network.pixel_logits(pixels, recipe)
    return np.asarray(network.forward(normalise(pixels, recipe), logits_only=True)["predictions"])


def _awaited(file: Path, stop: Path) -> Pixels:
    """The array in a file, when it is there."""
    parent = os.getppid()
    while not file.exists():
        if stop.exists():
            raise BadInput("pixels", stop.read_text(encoding="utf-8") or "no more will come")
        if os.getppid() != parent:  # nobody is left to write them
            raise BadInput("pixels", "the process that decodes them has ended")
        time.sleep(_POLL_SECONDS)
    pixels: Pixels = np.load(file, allow_pickle=False)
    return pixels
