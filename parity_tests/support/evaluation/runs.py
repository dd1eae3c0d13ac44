"""A data set in two shards, and what a run of it leaves."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from parity_tests.support.evaluation.images import dataset, jpegs
from vgg16_parity.evaluate.measured import Measured
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import preprocess, read_image

# Two shards, with pictures that are none in both.
CONTENTS = [*jpegs(40), b"", *jpegs(40, seed=1), b"none", *jpegs(10, seed=2)]
READABLE = [content for content in CONTENTS if len(content) > 4]
DATASET = dataset(CONTENTS)
IN_LAST = 27


def files(folder: Path, under: str = "") -> dict[str, str]:
    """Path -> digest of every file of a run, hidden ones too."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / under).rglob("*"))
        if path.is_file()
    }


def logits(measured: Measured, index: int = 0) -> Any:
    assert measured.runtimes[index].status == "measured", measured.runtimes[index].reason
    return measured.runtimes[index].logits()


def prepared(checkpoint: Checkpoint) -> Any:
    size = checkpoint.configuration.input_size
    images = [preprocess(read_image(each), checkpoint.recipe, size=size) for each in READABLE]
    return np.concatenate(images)
