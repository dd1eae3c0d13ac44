"""Gradients and a step that are right, to put errors of a known size in."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from onnx_arbiter.error_model import Float64, ValueWithVariance
from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.judge.gradients.activation_pattern import ActivationPattern, rectified
from vgg16_parity.judge.gradients.backward import IMAGES, backward
from vgg16_parity.judge.gradients.run import Results
from vgg16_parity.network import sgd_step
from vgg16_parity.network.prediction import expect
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32: Final = MODES["float32"]
# More units than rows in a block, and so a short block at the end.
NETWORK: Final = Configuration("small", ("3-6", "3-5"), hidden_units=70, input_size=8, classes=60)
# What is judged -> the results that it is read from.
FIELDS: Final = {"gradient": "gradients", "parameter": "parameters", "velocity": "velocity"}


class Run(NamedTuple):
    """A checkpoint, the arbiter's case, results that are right, and the deviation of each value."""

    checkpoint: Checkpoint
    expectation: ArbiterCase
    results: Results
    deviation: dict[str, dict[str, Float64]]


def right_run(folder: Path) -> Run:
    """The arbiter's own results, as a runtime without any error has them; a new folder's case."""
    checkpoint = generate(NETWORK, 1)
    images = np.random.default_rng(0).standard_normal((3, *NETWORK.input_shape)).astype(np.float32)
    expectation = expect(checkpoint, Case("noise", images, ("a", "b", "c")), [FLOAT32], folder)
    taps = {tap: np.array(expectation.preactivation(tap)) for tap in rectified(NETWORK)}
    labels, before = sgd_step.labels(expectation), sgd_step.velocity(checkpoint)
    found: dict[str, list[ValueWithVariance]] = {}
    for block in backward(checkpoint, expectation, FLOAT32, ActivationPattern(taps), labels):
        found.setdefault(block.tensor, []).append(block.gradient)
    judged: dict[str, dict[str, ValueWithVariance]] = {kind: {} for kind in FIELDS}
    for name, parts in found.items():
        gradient = ValueWithVariance(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.variance for part in parts]),
        )
        judged["gradient"][name] = gradient
        if name != IMAGES:
            stepped = sgd_step.step(checkpoint[name], gradient.values, before[name], FLOAT32)
            judged["parameter"][name], judged["velocity"][name] = stepped
    values = {kind: {name: each.values for name, each in of.items()} for kind, of in judged.items()}
    deviation = {
        kind: {name: each.deviation(FLOAT32) for name, each in of.items()}
        for kind, of in judged.items()
    }
    results = Results(taps, values["gradient"], values["parameter"], values["velocity"])
    return Run(checkpoint, expectation, results, deviation)
