"""A network run layer by layer, by a function that computes one layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Configuration, Flatten, MaxPooling, WeightedLayer

Float32 = NDArray[np.float32]
Layer: TypeAlias = WeightedLayer | MaxPooling


def run_layers(
    configuration: Configuration,
    images: Float32,
    compute: Callable[[Layer, Float32], Float32],
    given: Mapping[str, Float32] | None = None,
) -> dict[str, Float32]:
    """Every tap; ``given`` is what the layer after each tap reads, to run each alone."""
    taps: dict[str, Float32] = {}
    read, before = (taps if given is None else given), ""
    for layer in configuration.layers:
        if not isinstance(layer, Flatten):
            taps[layer.name] = compute(layer, read[before] if before else images)
            before = layer.name
    return taps
