"""Data sets whose images all have two classes close together, and what runtimes made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import torch_impl
from onnx_arbiter.compare import Verdict
from parity_tests.support.evaluation.images import dataset, jpegs
from vgg16_parity.evaluate import statistics
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import preprocess, read_image

CONTENTS = jpegs(6)
DATASET = dataset(CONTENTS)
# Two classes that win everywhere.
FIRST, SECOND = 3, 8
Logits = NDArray[np.floating[Any]]


def close(checkpoint: Checkpoint, apart: float) -> Checkpoint:
    """A checkpoint whose two winning classes have equal weights, and are so far apart."""
    weight, bias = (np.array(checkpoint[f"predictions.{kind}"]) for kind in ("weight", "bias"))
    weight[SECOND] = weight[FIRST]
    bias[SECOND] = 20
    bias[FIRST] = np.float32(20) + np.float32(apart)
    return checkpoint.with_tensors({"predictions.weight": weight, "predictions.bias": bias})


def right(checkpoint: Checkpoint) -> Logits:
    model = torch_impl.VGG(checkpoint.configuration.name, weights=checkpoint)
    size = checkpoint.configuration.input_size
    images = [preprocess(read_image(each), checkpoint.recipe, size=size) for each in CONTENTS]
    return torch_impl.run_with_taps(model, np.concatenate(images))["predictions"]


def swapped(logits: Logits, *images: int) -> Logits:
    """The logits of the two classes exchanged, in some images."""
    changed = logits.copy()
    rows = np.array(images)
    changed[rows, FIRST], changed[rows, SECOND] = logits[rows, SECOND], logits[rows, FIRST]
    return changed


def measured(
    folder: Path, computed: Mapping[str, Logits], runtimes: Mapping[str, Runtime], **about: Any
) -> Measured:
    """What runtimes would have left in files of four images and two."""
    entries = []
    for name, logits in computed.items():
        paths = [folder / f"{name}-{number}.npy" for number in range(2)]
        for path, part in zip(paths, (logits[:4], logits[4:]), strict=True):
            np.save(path, part)
        runtime = replace(runtimes.get(name, RUNTIMES["torch"]), name=name)
        entry = MeasuredRuntime(
            runtime, "strict", "cpu", "measured", "", tuple(paths), (4, 2), logits.shape[1]
        )
        entries.append(replace(entry, **about) if name in runtimes else entry)
    return Measured(DATASET.items, (), tuple(entries), "0" * 64, 0.0, 0.0)


def counted(of: Measured, checkpoint: Checkpoint) -> statistics.Statistics:
    return statistics.measure(
        {entry.name: entry.blocks() for entry in of.runtimes},
        [item.label for item in of.items],
        [item.name for item in of.items],
        checkpoint.class_names,
    )


def verdict(wrong: str = "", error: float = 1e-6) -> CaseVerdict:
    """What the judge says of one image: the layer that is wrong, and the logits' error."""

    def layer(tap: str) -> LayerVerdict:
        found = Verdict(tap != wrong, 1.0, 1.0, error, error, error)
        return LayerVerdict(tap, found)

    return CaseVerdict("image", (layer("fc1"), layer("predictions")), ())
