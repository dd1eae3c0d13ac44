"""How small a mistake each layer shows when it is run alone, under the limits R and Z.

A small change of a weight changes the layer's outputs in proportion, so that the arbiter's values
and predicted deviations alone tell the R and Z of a change: no framework runs. A runtime's own
rounding, which comes on top, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.tables import ABSENT, table
from onnx_arbiter.error_model import Float64, activate
from onnx_arbiter.limits import LIMITS
from vgg16_parity.network import reference
from vgg16_parity.network.prediction import predict
from vgg16_spec.architecture import Convolution, Dense, Flatten, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

# R and Z: those before, and those now.
LIMIT_PAIRS: Final = ((4.0, 16.0), (LIMITS.ratio.limit, LIMITS.deviations.limit))
# Weights whose median is the typical one's.
_SAMPLED: Final = 101
# Bits of the significand: of float32, and those for which the effect is computed.
_ALL_BITS: Final = 24
_BITS: Final = 12


class Effect(NamedTuple):
    """R and Z of a change of size 1."""

    ratio: float
    deviations: float

    def shown_from(self, ratio: float, deviations: float) -> float:
        """The smallest size that exceeds a limit; infinite if no size does."""
        reached = max(self.ratio / ratio, self.deviations / deviations)
        return 1 / reached if reached else math.inf


@dataclass(frozen=True)
class Sensitivity:
    """What mistakes in one layer do.

    Attributes:
        layer: its name.
        largest: of its largest weight, relative to it.
        typical: of single weights, relative to each.
        biases: of each bias, in the values' units.
        scale: of all weights, relative to them.
        rounded: of weights rounded to ``_BITS`` bits.
    """

    layer: str
    largest: Effect
    typical: tuple[Effect, ...]
    biases: tuple[Effect, ...]
    scale: Effect
    rounded: Effect

    def bits(self, ratio: float, deviations: float) -> int:
        """The fewest bits of the weights that stay within the limits; each bit halves the error."""
        reached = max(self.rounded.ratio / ratio, self.rounded.deviations / deviations)
        return min(_ALL_BITS, _BITS + math.ceil(math.log2(reached))) if reached else 1


@dataclass(frozen=True)
class _Layer:
    """One layer alone on one image.

    Attributes:
        layer: what it is.
        weight: in canonical layout.
        inputs: (1, in, H, W) or (1, in).
        deviation: predicted, of its outputs: (1, out, H, W) or (1, out).
        visible: which outputs no ReLU hides.
    """

    layer: WeightedLayer
    weight: NDArray[np.float32]
    inputs: Float64
    deviation: Float64
    visible: NDArray[np.bool_]

    def effect(self, change: Float64, unit: int | None = None) -> Effect:
        """Of a change of the outputs, or of those of one unit or channel."""
        chosen = slice(None) if unit is None else slice(unit, unit + 1)
        seen = np.where(self.visible[:, chosen], change, 0.0)
        predicted = np.square(self.deviation[self.visible]).sum()
        if not predicted:
            return Effect(0.0, 0.0)
        return Effect(
            float(np.sqrt(np.square(seen).sum() / predicted)),
            float((np.abs(seen) / self.deviation[:, chosen]).max()),
        )

    def of_weight(self, index: tuple[int, ...]) -> Effect:
        """Of doubling one weight."""
        output, source, *place = index
        inputs = self.inputs[:, source : source + 1]
        if place:
            margin = self.weight.shape[-1] // 2
            padded = np.pad(inputs, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
            (row, column), (height, width) = place, inputs.shape[2:]
            inputs = padded[:, :, row : row + height, column : column + width]
        return self.effect(float(self.weight[index]) * inputs, output)


def measure(checkpoint: Checkpoint, images: NDArray[np.float32]) -> Iterator[Sensitivity]:
    """The sensitivity of each weighted layer on one image, (1, 3, H, W), in the network's order."""
    values: Float64 = images.astype(np.float64)
    taps = predict(checkpoint, images)
    for layer in checkpoint.configuration.layers:
        if isinstance(layer, Flatten):
            values = reference.flatten(values)
            continue
        tap = next(taps)
        if isinstance(layer, Convolution | Dense):
            visible = tap.preactivation > (0 if tap.relu else -np.inf)
            deviation = tap.local["float32"].astype(np.float64)
            weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
            alone = _Layer(layer, weight, values, deviation, visible)
            yield _measured(alone, tap.preactivation - reference.for_channels(bias, visible))
        values = activate(tap.preactivation, tap.relu)


def _measured(alone: _Layer, products: Float64) -> Sensitivity:
    weight = alone.weight
    chosen = np.random.Generator(np.random.Philox(0)).integers(weight.size, size=_SAMPLED)

    def of_weight(place: np.intp) -> Effect:
        return alone.of_weight(tuple(map(int, np.unravel_index(place, weight.shape))))

    error = round_to_bits(weight, _BITS) - weight
    return Sensitivity(
        layer=alone.layer.name,
        largest=of_weight(np.abs(weight).argmax()),
        typical=tuple(map(of_weight, chosen)),
        biases=tuple(
            alone.effect(np.ones_like(products[:, unit : unit + 1]), unit)
            for unit in range(len(weight))
        ),
        scale=alone.effect(products),
        rounded=alone.effect(reference.multiply(alone.layer, error, alone.inputs)),
    )


def round_to_bits(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Values rounded to a significand of so many bits."""
    mantissas, exponents = np.frexp(values)
    kept: NDArray[np.float32] = np.ldexp(np.rint(np.ldexp(mantissas, bits)), exponents - bits)
    return kept


def described(found: Mapping[str, Sensitivity]) -> str:
    """The table: for each layer and mistake, the smallest under the old limits / under the new."""
    header = ("layer", "largest weight", "typical weight", "typical bias", "all weights", "bits")
    return table(header, [_line(each) for each in found.values()])


def _line(found: Sensitivity) -> tuple[str, ...]:
    def smallest(*effects: Effect) -> str:
        sizes = [median(each.shown_from(*pair) for each in effects) for pair in LIMIT_PAIRS]
        return " / ".join(f"{size:.1e}" if math.isfinite(size) else ABSENT for size in sizes)

    kinds = ((found.largest,), found.typical, found.biases, (found.scale,))
    bits = " / ".join(str(found.bits(*pair)) for pair in LIMIT_PAIRS)
    return (found.layer, *(smallest(*effects) for effects in kinds), bits)
