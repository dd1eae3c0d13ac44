"""A data set of pictures of several sizes, and what an evaluation of its views gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parity_tests.support.evaluation.images import dataset, jpegs
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.runtimes.registry import KNOWN
from vgg16_spec.images.preprocessing import RECIPES

SIZE = 64
RECIPE = RECIPES["torchvision"]
# Sides that are no multiples of 32, upright and lying.
CONTENTS = [*jpegs(4, (70, 150)), b"none", *jpegs(3, (66, 90), seed=2)]
READABLE = [content for content in CONTENTS if content != b"none"]
DATASET = dataset(CONTENTS)
TORCH = KNOWN["torch"]


def log_posteriors(measured: Measured, index: int = 0) -> NDArray[np.float64]:
    entry = measured.runtimes[index]
    assert entry.status == "measured", entry.reason
    found = entry.logits()
    assert found.dtype == np.float64
    return found.astype(np.float64)
