"""A layer's own errors: of what it computed from what it read.

A layer that was run alone read the arbiter's values. In a forward pass it read the run's own tap
before it, and what the arbiter makes of that tap leaves the layer's own errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.expectations import given, images
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, Mode
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.patterns import Fit, fit, without_shift
from vgg16_parity.network.reference import layer_alone, multiply
from vgg16_spec.architecture import Flatten, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

Inputs = NDArray[np.float32]


@dataclass(frozen=True)
class OwnErrors:
    """What a layer's errors are judged by.

    Attributes:
        values: the errors, (N, out, H, W) or (N, out); NaN where a ReLU hides one.
        deviation: the predicted standard deviation of a direct sum's.
        carried: the part of its square that the network's input brought along.
        inputs: what the layer read.
        weight: the layer's weights.
        exact: the outputs before any ReLU.
        mode: the run's numeric mode.
    """

    values: NDArray[np.float64]
    deviation: NDArray[np.float64]
    carried: NDArray[np.float64] | float
    inputs: Inputs
    weight: NDArray[np.float32]
    exact: NDArray[np.float64]
    mode: Mode
    _deviations: dict[Algorithm, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def as_direct(self) -> Fit:
        """How well a direct sum explains them."""
        return fit(self.values, self.deviation)

    @property
    def fail(self) -> bool:
        """Whether they are no direct sum's."""
        ratio, largest, _ = self.as_direct
        return ratio > LIMITS.ratio.limit or largest > LIMITS.deviations.limit

    def by(self, algorithm: Algorithm) -> Fit:
        """How well an algorithm explains them."""
        return fit(self.values, self._deviation_by(algorithm))

    def unshifted_by(self, algorithm: Algorithm | None) -> Fit:
        """How well an algorithm, or a direct sum, explains them but for a shift of each channel."""
        deviation = self.deviation if algorithm is None else self._deviation_by(algorithm)
        return fit(without_shift(self.values, deviation), deviation)

    def _deviation_by(self, algorithm: Algorithm) -> NDArray[np.float64]:
        if algorithm not in self._deviations:
            rounding = algorithm.rounding(self.inputs.astype(np.float64), self.weight, self.mode)
            units = FLOAT32_ROUNDOFF**2 / 3
            own = units * rounding.astype(np.float64) + self.mode.unit_variance * np.square(
                self.exact
            )
            self._deviations[algorithm] = np.sqrt(own + self.carried)
        return self._deviations[algorithm]


def own_errors(evidence: Evidence, layer: WeightedLayer) -> OwnErrors | None:
    """A layer's errors, alone if layers were run alone; None if the run does not have them."""
    network, alone = evidence.checkpoint.configuration, bool(evidence.layers)
    observed = (evidence.layers if alone else evidence.taps).get(layer.name)
    if observed is None:
        return None
    inputs = given_to(evidence, layer.name) if alone else read_by(evidence, layer.name)
    of_input = evidence.assumed.input_deviation
    if alone or layer.name != network.taps[0]:
        of_input = None
    return errors_of(evidence.checkpoint, evidence.mode, layer, inputs, observed, of_input)


def errors_of(
    checkpoint: Checkpoint,
    mode: Mode,
    layer: WeightedLayer,
    inputs: Inputs,
    observed: NDArray[Any],
    input_deviation: NDArray[np.floating[Any]] | None = None,
) -> OwnErrors | None:
    """The errors of an output of a layer that read ``inputs``; None if its shape is another.

    The inputs themselves may have errors, of the standard deviation ``input_deviation``.
    """
    expected = layer_alone(checkpoint, layer, inputs, [mode])
    exact, weight = expected.preactivation, checkpoint[f"{layer.name}.weight"]
    if observed.shape != exact.shape:
        return None
    visible = (observed > 0) & (exact > 0) if expected.relu else True
    errors = np.where(visible, observed - exact, np.nan)
    deviation = expected.local[mode.name].astype(np.float64)
    carried: NDArray[np.float64] | float = 0.0
    if input_deviation is not None:
        variance = np.square(input_deviation, dtype=np.float64)
        carried = multiply(layer, weight, variance, squared=True)
        deviation = np.sqrt(deviation**2 + carried)
    return OwnErrors(errors, deviation, carried, inputs, weight, exact, mode)


def given_to(evidence: Evidence, name: str) -> Inputs:
    """The arbiter's input of a layer, rounded to float32."""
    taps, folder = evidence.checkpoint.configuration.taps, evidence.expectation.folder
    place = taps.index(name)
    return given(folder, [taps[place - 1]])[taps[place - 1]] if place else images(folder)


def read_by(evidence: Evidence, name: str) -> Inputs:
    """What a layer read in the run's forward pass.

    From the last tap before it that the run has, the arbiter computes the layers between.
    """
    network = evidence.checkpoint.configuration
    layers = {each.name: each for each in network.layers if not isinstance(each, Flatten)}
    before = network.taps[: network.taps.index(name)]
    start = max((place for place, tap in enumerate(before, 1) if tap in evidence.taps), default=0)
    values = evidence.taps[before[start - 1]] if start else evidence.expectation.case.images
    for tap in before[start:]:
        given_values = values.astype(np.float32)
        values = layer_alone(evidence.checkpoint, layers[tap], given_values).values
    return values.astype(np.float32)
