"""The arbiter's gradients are right: against autograd in float64, and against differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.autograd import float64_gradients, float64_loss
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import FINITE_DIFFERENCES, FLOAT64
from vgg16_parity.judge.gradients.activation_pattern import ActivationPattern, rectified
from vgg16_parity.judge.gradients.backward import IMAGES, backward
from vgg16_parity.network import sgd_step
from vgg16_parity.network.prediction import expect
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32 = MODES["float32"]

# 1x1 convolutions as in column C, and a size of which every pooling drops a row and a column.
ODD = Configuration("odd", ("3-4 1-5", "3-6 1-3"), hidden_units=8, input_size=11, classes=7)


# Fewer than any dense layer has, and a number that leaves a rest.
ROWS = 3


def forward(checkpoint: Checkpoint, images: NDArray[np.float32], folder: Path) -> ArbiterCase:
    names = tuple(map(str, range(len(images))))
    return expect(checkpoint, Case("test", images, names), [FLOAT32], folder / "expected")


def arbiter_pattern(checkpoint: Checkpoint, expectation: ArbiterCase) -> ActivationPattern:
    taps = rectified(checkpoint.configuration)
    return ActivationPattern({tap: expectation.preactivation(tap) for tap in taps})


def gradients(
    checkpoint: Checkpoint, expectation: ArbiterCase, pattern: ActivationPattern | None = None
) -> dict[str, NDArray[np.float64]]:
    """The arbiter's, every tensor put together from its blocks, in its order."""
    taken = pattern or arbiter_pattern(checkpoint, expectation)
    labels = sgd_step.labels(expectation)
    blocks: dict[str, list[NDArray[np.float64]]] = {}
    for block in backward(checkpoint, expectation, FLOAT32, taken, labels, rows=ROWS):
        assert block.rows.start == sum(map(len, blocks.get(block.tensor, [])))
        blocks.setdefault(block.tensor, []).append(block.gradient.values)
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def assert_close(
    found: dict[str, NDArray[np.float64]], expected: dict[str, NDArray[np.float64]]
) -> None:
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values.shape == expected[name].shape, name
        error = np.abs(values - expected[name]).max()
        assert error <= FLOAT64.limit * np.abs(expected[name]).max(), name


@pytest.fixture(params=["tiny", "odd"])
def network(
    request: pytest.FixtureRequest, tiny: Checkpoint, batch: Batch
) -> tuple[Checkpoint, NDArray[np.float32]]:
    if request.param == "tiny":
        return tiny, batch(tiny)
    noise = np.random.default_rng(5).standard_normal((3, 3, 11, 11), np.float32)
    return generate(ODD, 2), noise


Network = tuple[Checkpoint, NDArray[np.float32]]


def test_it_agrees_with_autograd_in_float64_on_every_tensor(
    network: Network, tmp_path: Path
) -> None:
    checkpoint, images = network
    expectation = forward(checkpoint, images, tmp_path)
    found = gradients(checkpoint, expectation)
    labels = sgd_step.labels(expectation)
    assert_close(found, float64_gradients(checkpoint, images, labels))


def test_it_goes_from_the_logits_down(tiny: Checkpoint, batch: Batch, tmp_path: Path) -> None:
    found = gradients(tiny, forward(tiny, batch(tiny), tmp_path))
    # Of each layer the bias comes first: its gradient is the sum of the weight gradient's factors.
    assert list(found) == [*reversed(list(tiny)), IMAGES]


def test_it_agrees_with_differences_of_the_loss(network: Network, tmp_path: Path) -> None:
    checkpoint, images = network
    expectation = forward(checkpoint, images, tmp_path)
    found = gradients(checkpoint, expectation)
    labels = sgd_step.labels(expectation)
    weights = {name: checkpoint[name].astype(np.float64) for name in checkpoint}
    start = weights | {IMAGES: images.astype(np.float64)}
    generator = np.random.default_rng(6)
    for name, gradient in found.items():
        direction = generator.standard_normal(gradient.shape)
        direction /= np.linalg.norm(direction)

        def loss(length: float, name: str = name, way: NDArray[np.float64] = direction) -> float:
            values = start | {name: start[name] + length * way}
            return float64_loss(
                {n: values[n] for n in checkpoint}, checkpoint, values[IMAGES], labels
            )

        size = 1e-6 * float(np.linalg.norm(start[name]))
        slope = (loss(size) - loss(-size)) / (2 * size)
        error = abs(slope - float(np.sum(gradient * direction)))
        assert error <= FINITE_DIFFERENCES.limit * np.linalg.norm(gradient), name


def test_it_differentiates_along_the_given_pattern(tiny: Checkpoint, tmp_path: Path) -> None:
    # In constant images, most pooling windows hold one value four times: every winner is right.
    images = np.ones((2, 3, 64, 64), np.float32)
    images[1] *= -2
    expectation = forward(tiny, images, tmp_path)
    labels = sgd_step.labels(expectation)
    own = arbiter_pattern(tiny, expectation)
    generator = np.random.default_rng(7)
    noisy = {
        tap: values * (1 + 1e-9 * generator.standard_normal(values.shape))
        for tap, values in own.taps.items()
    }
    found = gradients(tiny, expectation, ActivationPattern(noisy))
    assert_close(found, float64_gradients(tiny, images, labels, ActivationPattern(noisy)))
    otherwise = gradients(tiny, expectation, own)
    assert np.abs(found[IMAGES] - otherwise[IMAGES]).max() > 0.1 * np.abs(found[IMAGES]).max()
