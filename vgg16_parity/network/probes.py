"""Dense inputs for each layer alone, of the scale of its own, which show every weight.

Photographs leave almost half of the units of fc1 and fc2 dark, and what a dark unit computed nobody
sees. A layer's probes are maps or vectors x without a zero, and -x: whatever a unit's weights are,
one of the two lights it, unless its bias is larger than all that they add up to. Then half of the
pairs are scaled up.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import expectations
from onnx_arbiter.error_model import Float64
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.reference import layer_alone
from vgg16_spec.architecture import Configuration, Dense, Flatten, MaxPooling, Shape, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

Inputs = NDArray[np.float32]

PROBES: Final = "probes"
# x and -x are a pair. A unit of a dense layer sees one value of each: a bias that cuts both is
# less likely to cut those of four pairs.
_PAIRS: Final = 4
# Height and width of the maps; layers whose own are smaller get those.
_SIDE: Final = 8
# Values have 23 random bits and a sign.
_BITS: Final = 23
# The pairs that are scaled up where a unit stays dark. The others leave small biases visible.
_BRIGHT: Final = np.array([2, 3, 6, 7])
# How often these are doubled at most: weights that are all but zero stay dark.
_DOUBLINGS: Final = 10


@dataclass(frozen=True)
class Probe:
    """A layer alone on dense inputs.

    Attributes:
        inputs: of the layer, (N, in, H, W) or (N, in); for the first dense layer the maps that are
            flattened. The second half is the negative of the first.
        prediction: the arbiter's values, and the error to expect of a runtime that got the inputs.
    """

    inputs: Inputs
    prediction: Prediction

    @property
    def layer(self) -> str:
        """The layer's name."""
        return self.prediction.tap


def expect_probes(
    checkpoint: Checkpoint,
    case: ArbiterCase,
    modes: Sequence[Mode],
    folder: Path,
) -> ArbiterCase:
    """Run each layer alone and write inputs and answers into a new folder, as a case.

    The inputs' scale is that of the layers' own in ``case``, of which every tap was written. What a
    layer reached is the largest magnitude of its inputs and of its pre-activation.
    """
    # The comparison reports values that are not finite and variances that overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        probes = list(probe(checkpoint, scales(checkpoint.configuration, case), modes))
    predictions = [
        replace(each.prediction, given=following.inputs) for each, following in pairwise(probes)
    ]
    first, last = probes[0], probes[-1]
    labels = tuple(f"{sign}{pair}" for sign in ("x", "-x") for pair in range(1, _PAIRS + 1))
    named = Case(PROBES, first.inputs, labels)
    written = write_case(named, [*predictions, last.prediction], folder)
    # A mode must hold the inputs too.
    largest = {each.layer: float(np.abs(each.inputs).max()) for each in probes}
    reached = {layer: max(most, largest[layer]) for layer, most in written.reached.items()}
    return replace(written, reached=reached)


def inputs_of(
    folder: Path, configuration: Configuration, *, writable: bool = False
) -> dict[str, Inputs]:
    """Layer -> its inputs, from the folder of `expect_probes`, in the network's order.

    ``writable`` is as for ``expectations.given``.
    """
    taps = configuration.taps
    given = expectations.given(folder, taps[:-1], writable=writable)
    images = expectations.images(folder)
    first = images.copy() if writable else images
    return dict(zip(taps, (first, *given.values()), strict=True))


def lit(
    case: ArbiterCase, configuration: Configuration
) -> Iterator[tuple[str, Inputs, NDArray[np.bool_]]]:
    """Each layer with weights, its inputs, and where its outputs pass its ReLU, if it has one.

    ``case`` is what `expect_probes` returned.
    """
    of_layer = inputs_of(case.folder, configuration)
    for layer in configuration.weighted_layers:
        preactivation = case.preactivation(layer.name)
        passes = preactivation > 0 if layer.relu else np.ones(preactivation.shape, bool)
        yield layer.name, of_layer[layer.name], passes


def scales(configuration: Configuration, case: ArbiterCase) -> dict[str, float]:
    """Layer -> the root mean square of its inputs in a case, to the nearest power of two.

    A power of two, so that the last bits of the arbiter's values do not change the probes.
    """
    taps = configuration.taps
    given = expectations.given(case.folder, taps[:-1])
    return {
        layer: _power_of_two(values)
        for layer, values in zip(taps, (case.case.images, *given.values()), strict=True)
    }


def probe(
    checkpoint: Checkpoint,
    scales: Mapping[str, float],
    modes: Sequence[Mode],
) -> Iterator[Probe]:
    """Every layer with a tap, in the network's order, on inputs of the given scale.

    Args:
        checkpoint: the weights and the network's configuration.
        scales: layer -> the size of its inputs: from half to one and a half of it.
        modes: the numeric modes to predict errors for.
    """
    shapes = _input_shapes(checkpoint.configuration)
    for layer in checkpoint.configuration.layers:
        if isinstance(layer, Flatten):
            continue
        values = dense(layer.name, shapes[layer.name]) * np.float32(scales[layer.name])
        if isinstance(layer, MaxPooling):
            # It reads what a ReLU let through: a port may take the maximum with zero.
            values = np.abs(values)
        prediction = layer_alone(checkpoint, layer, values, modes)
        if not isinstance(layer, MaxPooling):
            factor = _lighting(checkpoint, layer, prediction.preactivation)
            if factor > 1:
                values[_BRIGHT] *= np.float32(factor)
                prediction = layer_alone(checkpoint, layer, values, modes)
        yield Probe(values, prediction)


def dense(name: str, shape: Shape) -> Inputs:
    """Pairs of x and -x of a layer, (N, *shape), with 0.5 ≤ |x| < 1.5; the same at every call.

    They are made of the raw stream of the Philox generator, as ``vgg16_spec.checkpoint.seeded`` is.
    """
    stream = np.random.Philox(key=zlib.crc32(name.encode()))
    raw = np.asarray(stream.random_raw(_PAIRS * math.prod(shape)), np.uint64)
    bits = (raw >> np.uint64(63 - _BITS)).astype(np.int64)
    magnitudes = 0.5 + (bits >> 1) / 2.0**_BITS
    values = np.where(bits & 1, -magnitudes, magnitudes).astype(np.float32)
    half = values.reshape(_PAIRS, *shape)
    return np.concatenate([half, -half])


def _lighting(checkpoint: Checkpoint, layer: WeightedLayer, preactivation: Float64) -> float:
    """The power of two by which to multiply half of the pairs, so that every unit lights up."""
    if not layer.relu:
        return 1.0
    axes = (0, *range(2, preactivation.ndim))
    bias = checkpoint[f"{layer.name}.bias"].astype(np.float64)
    dark = preactivation.max(axis=axes) <= 0
    # What the weights add to the bias, at most.
    added = (preactivation[_BRIGHT].max(axis=axes) - bias)[dark]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        needed = np.log2(-bias[dark] / added)
    possible = np.floor(needed[needed < _DOUBLINGS]) + 1
    return float(2.0 ** possible.max(initial=0))


def _power_of_two(values: NDArray[np.float32]) -> float:
    """The root mean square to the nearest power of two; 1 for zeros and what is not finite."""
    rms = math.sqrt(np.square(values, dtype=np.float64).mean())
    return 2.0 ** round(math.log2(rms)) if math.isfinite(rms) and rms > 0 else 1.0


def _input_shapes(configuration: Configuration) -> dict[str, Shape]:
    """Layer -> the shape of one of its probes; maps for the layer after ``flatten``."""
    shapes, shape = {}, configuration.input_shape
    outputs = configuration.output_shapes()
    for layer in configuration.layers:
        if isinstance(layer, Flatten):
            continue
        sides = shape[1:]
        if not isinstance(layer, Dense):
            sides = tuple(min(side, _SIDE) for side in sides)
        shapes[layer.name] = (shape[0], *sides)
        shape = outputs[layer.name]
    return shapes
