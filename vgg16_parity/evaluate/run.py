"""An evaluation: the logits of every image of a data set in every runtime, one after the other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from vgg16_parity.evaluate import folder as run_folder
from vgg16_parity.evaluate.computing import Counting, Engines, Run, Setting, quietly
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.engines.plain import Plain
from vgg16_parity.evaluate.graphs import Graphs
from vgg16_parity.evaluate.identity import weights_digest
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.shards import SHARD, cut, key, recipe_facts
from vgg16_parity.runtimes.lanes import LANES, Device, Lane, port_lane
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.workspace import Progress, in_file
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.errors import BadInput
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.views import Views

PLAIN: Final = Plain()


def evaluate(
    dataset: Dataset,
    checkpoint: Checkpoint,
    runtimes: Sequence[Runtime],
    out: Path,
    *,
    device: Device = "cpu",
    batch: int = 16,
    lane: Lane = LANES["strict"],
    views: Views | None = None,
    keep_pixels: bool = False,
    timeout: float | None = None,
    progress: Progress = nullcontext,
    counting: Counting = quietly,
    engine: Engines = PLAIN,
) -> Measured:
    """Compute the logits of a data set's images in every runtime.

    Pictures are decoded once for all runtimes, and each runtime has a process of its own, or one on
    every node of a cluster. What a folder holds already is not computed again, and what
    is killed at any moment goes on from there: the results are the same bytes.

    Args:
        dataset: the images; each is read once.
        checkpoint: with the classifier; its recipe prepares the images.
        runtimes: one after the other; one that cannot run or fails is a record, the others go on.
        out: the evaluation's folder, as ``vgg16_parity.evaluate.folder`` describes it.
        device: where the runtimes run.
        batch: how many images are computed at once, at most the 64 of a shard. With views a picture
            is computed by itself.
        lane: the numeric setting. A user's own port and ONNX file compute in their own.
        views: which views of a picture to average the posteriors of; the results are then
            log-posteriors in float64, whose softmax the posteriors are, and a runtime that cannot
            compute such views is a record. None is the recipe's one crop.
        keep_pixels: whether the decoded pixels stay in the folder, 150 KB an image of VGG16.
        timeout: seconds that a runtime may take; None waits indefinitely.
        progress: called with the name of each stage.
        counting: called with the name of each runtime; shows how many images it has computed.
        engine: what decodes and computes: ``Plain()`` on this machine, or ``Ray(...)`` on a
            cluster. Either goes on where the other stopped.

    Raises:
        BadInput: the engine cannot be had; the checkpoint has no classifier; the folder is of other
            weights, images or views, or cannot be written; an image cannot be read any more.
        ValueError: the views are for a network of another size.
    """
    start = time.perf_counter()
    if not 1 <= batch <= SHARD:
        raise BadInput("batch", f"is {batch}", f"1 to {SHARD}")
    if twice := [name for name, count in Counter(e.name for e in runtimes).items() if count > 1]:
        raise BadInput("runtimes", f"{twice[0]} is there twice", "each once")
    checkpoint.check_top()
    recipe, network = checkpoint.recipe, checkpoint.configuration
    if views is not None and views.size != network.input_size:
        raise ValueError(f"views of {views.size} pixels for a network of {network.input_size}")
    with progress("digest of the weights"):
        weights = weights_digest(checkpoint)
    about: dict[str, Any] = {
        "weights": weights,
        "network": f"{network.name}, {network.classes} classes",
        "recipe": recipe_facts(recipe),
        "images": key([item.sha256 for item in dataset.items]),
    }
    if views is not None:
        about["views"] = asdict(views)
    with run_folder.opened(out, about) as folder, scratch_folder("vgg16-evaluate") as scratch:
        stored = in_file(checkpoint, scratch, progress)
        setting = Setting(folder, stored, batch, views, keep_pixels, timeout, counting)
        with engine.opened(setting) as computing:
            run = Run(
                stored,
                cut(dataset.items, recipe, network.input_size, views),
                folder,
                Graphs(folder, scratch, weights, timeout, progress),
                computing,
                device,
                batch,
                views,
            )
            found = tuple(run.runtime(each, _lane_of(each, lane)) for each in runtimes)
        if not keep_pixels:
            folder.remove_pixels()
        items, unreadable = run.readable()
        sha256 = digest(stored.file)
    seconds = time.perf_counter() - start
    return Measured(items, unreadable, found, sha256, computing.decode_seconds, seconds)


def _lane_of(runtime: Runtime, lane: Lane) -> Lane:
    """The lane of a runtime; what a user's own port or graph computes in is its own."""
    if runtime.port:
        return port_lane(runtime.port_mode, [lane])
    if runtime.file and lane.precision != "float32":
        return LANES["default"]
    return lane
