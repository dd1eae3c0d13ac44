"""Ports whose 3x3 convolutions an engine computes by Winograd's algorithm, by FFTs or directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.algorithms.winograd import WINOGRAD
from parity_tests.support.arithmetic.convolutions import (
    Float32,
    Matrices,
    by_fft,
    by_winograd,
    matrices,
)
from parity_tests.support.arithmetic.layers import Layer, run_layers
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, Dense, MaxPooling, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.logits import softmax

# How 3x3 convolutions are computed: by Winograd's algorithm, by FFTs, or as direct sums.
Engine = Matrices | Fft | None
LAVIN: Final = next(
    each for each in WINOGRAD if each.name.endswith("F(6×6, points 0, ±1, ±2, ±1/2)")
)
ROUGH: Final = WINOGRAD[-1]
OF_ROOTS, OF_WHOLES = (each for each in WINOGRAD if each.outputs == 4)
COMPUTED: Final = (
    "no ReLU",
    "average pooling",
    "softmax",
    "padding on one side",
    "dropout left on",
)


def network(
    checkpoint: Checkpoint,
    images: Float32,
    engine: Engine | Mapping[str, Engine],
    given: Mapping[str, Float32] | None = None,
    mistake: str = "",
) -> dict[str, Float32]:
    """The taps of a port whose 3x3 convolutions are computed so, or its layers for given inputs.

    ``engine`` may be one by layer, where others are direct sums. ``mistake`` is one of the
    computation, by its name in ``mistakes.catalogue``.
    """

    def computed(layer: Layer, values: Float32) -> Float32:
        if isinstance(layer, MaxPooling):
            candidates = reference.windows(values)
            averages = mistake == "average pooling"
            pooled: Float32 = candidates.mean(axis=-1) if averages else candidates.max(axis=-1)
            return pooled
        own = engine.get(layer.name) if isinstance(engine, Mapping) else engine
        return _weighted(checkpoint, layer, values, own, mistake)

    return run_layers(checkpoint.configuration, images, computed, given)


def _weighted(
    checkpoint: Checkpoint, layer: WeightedLayer, values: Float32, engine: Engine, mistake: str
) -> Float32:
    """A layer of weights with its ReLU."""
    weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
    if isinstance(layer, Dense):
        values = reference.multiply(layer, weight, reference.flatten(values))
    elif mistake == "padding on one side" and layer.name == "block2_conv1":
        # Of the enlarged maps, those that are padded on no side at the top and left.
        enlarged = np.pad(values, ((0, 0), (0, 0), (0, 2), (0, 2)))
        values = _convolve(layer, enlarged, weight, engine)[:, :, 1:-1, 1:-1]
    else:
        values = _convolve(layer, values, weight, engine)
    values = values + reference.for_channels(bias, values)
    if layer.relu and not (mistake == "no ReLU" and layer.name == "block3_conv2"):
        values = np.maximum(values, 0)
    if mistake == "dropout left on" and isinstance(layer, Dense) and layer.relu:
        kept = np.random.default_rng(0).random(values.shape) < 0.5
        values = np.where(kept, 2 * values, np.float32(0))
    if mistake == "softmax" and layer.name == checkpoint.configuration.taps[-1]:
        values = softmax(values.astype(np.float64)).astype(np.float32)
    return values


def _convolve(layer: Convolution, values: Float32, weight: Float32, engine: Engine) -> Float32:
    if engine is None or layer.kernel_size != 3:
        return reference.multiply(layer, weight, values)
    if isinstance(engine, Fft):
        return by_fft(values, weight, engine)
    return by_winograd(values, weight, engine)


ENGINES: Final[Mapping[str, Callable[[], Engine]]] = MappingProxyType(
    {
        "direct sums": lambda: None,
        "F(4×4) of whole numbers": lambda: matrices(OF_WHOLES),
        "F(4×4) of roots": lambda: matrices(OF_ROOTS),
        "F(6×6)": lambda: matrices(LAVIN),
        "FFTs": lambda: Fft(16),
    }
)


class Simulated:
    """A port that computes its 3x3 convolutions by an engine, to plant mistakes in."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mistake = engine, ""

    def load(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.mistake = checkpoint, ""

    def plant(self, name: str) -> None:
        self.mistake = name

    def taps(self, images: Float32) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, mistake=self.mistake)

    def layers(self, images: Float32, given: dict[str, Float32]) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, given, self.mistake)
