"""The step of SGD is the paper's, and its rounding that of float32 in either framework's order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pytest

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.expectations import Case, Prediction, write_case
from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.tolerances import (
    FLOAT64,
    MEASURED_VARIANCE,
    UNIFORM_MANTISSAS,
)
from vgg16_parity.network import sgd_step
from vgg16_spec.checkpoint import Checkpoint

FLOAT32: Final = MODES["float32"]
M: Final = UNIFORM_MANTISSAS.limit
# As the paper has them, section 3.1.
RATE, MOMENTUM, DECAY = 0.01, 0.9, 0.0005
FIGURES: Final = np.array([RATE, MOMENTUM, DECAY], np.float32)
Step: TypeAlias = Callable[[Float32, Float32, Float32], tuple[Float32, Float32]]


def as_pytorch(weight: Float32, gradient: Float32, velocity: Float32) -> tuple[Float32, Float32]:
    rate, momentum, decay = FIGURES
    after = momentum * velocity + (gradient + decay * weight)
    return weight - rate * after, after


def as_keras(weight: Float32, gradient: Float32, velocity: Float32) -> tuple[Float32, Float32]:
    """With the learning rate in the velocity, which is converted before and after."""
    rate, momentum, decay = FIGURES
    after = momentum * (-rate * velocity) - rate * (gradient + decay * weight)
    stepped: Float32 = weight + after
    return stepped, after / -rate


class Sizes(NamedTuple):
    """Sizes of the three; zero is what cancels the sum so far. ``of`` is what is looked at."""

    share: Tolerance
    weight: float
    gradient: float
    velocity: float
    of: str
    step: Step


CASES: Final = (
    Sizes(Tolerance(M, "the weight's own sum: w'²"), 1, 1e-3, 1e-3, "weight", as_pytorch),
    Sizes(
        Tolerance(1.22, "2 (d w)²: a product, and a figure that is 1.9 times as far from float32"),
        1,
        0,
        1e-9,
        "velocity",
        as_pytorch,
    ),
    Sizes(
        Tolerance(M / 2, "2 (g + d w)² and 2 (m b)²: two of these four round, the others' figures"),
        1e-6,
        1,
        0,
        "velocity",
        as_pytorch,
    ),
    Sizes(Tolerance(M, "all four"), 1e-6, 1, 0, "velocity", as_keras),
    Sizes(
        Tolerance(0.21, "2 g² and 3 b'²: the sums, which have one part, hardly round"),
        1e-3,
        1,
        1e-5,
        "velocity",
        as_pytorch,
    ),
    Sizes(Tolerance(0.42, "the same, and three products"), 1e-3, 1, 1e-5, "velocity", as_keras),
    Sizes(
        Tolerance(0.38, "the same five, 2 (r b')², and w'² of a weight that is nothing"),
        1e-9,
        1,
        1,
        "weight",
        as_pytorch,
    ),
)


def drawn(case: Sizes) -> tuple[Float32, Float32, Float32]:
    draw = np.random.default_rng(0)

    def numbers() -> Float64:
        values: Float64 = draw.standard_normal(20_000) * 2.0 ** draw.uniform(0, 1, 20_000)
        return values

    weight = case.weight * numbers()
    gradient = case.gradient * numbers() if case.gradient else -DECAY * weight * nearly(draw)
    velocity = case.velocity * numbers()
    if not case.velocity:
        velocity = -gradient / MOMENTUM * nearly(draw)
    one, other, third = (each.astype(np.float32) for each in (weight, gradient, velocity))
    return one, other, third


def nearly(draw: np.random.Generator) -> Float64:
    """One, but for a little, so that what is left has any mantissa."""
    values: Float64 = 1 + 1e-4 * draw.standard_normal(20_000)
    return values


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.share.reason)
def test_a_step_rounds_as_predicted(case: Sizes) -> None:
    given = drawn(case)
    expected = dict(zip(("weight", "velocity"), sgd_step.step(*given, FLOAT32), strict=True))
    observed = dict(zip(("weight", "velocity"), case.step(*given), strict=True))[case.of]
    predicted = expected[case.of]
    ratio = np.square(observed - predicted.values).mean() / predicted.variance.mean()
    share = ratio / case.share.limit
    assert 1 / MEASURED_VARIANCE.limit < share < MEASURED_VARIANCE.limit, (ratio, case.share.reason)


def test_the_step_is_the_papers() -> None:
    draw = np.random.default_rng(1)
    weight, gradient, velocity = (draw.standard_normal((3, 5)).astype(np.float32) for _ in range(3))
    stepped, moved = sgd_step.step(weight, gradient, velocity, FLOAT32)
    w, g, b = (each.astype(np.float64) for each in (weight, gradient, velocity))
    after = MOMENTUM * b + g + DECAY * w
    assert np.abs(moved.values - after).max() <= FLOAT64.limit
    assert np.abs(stepped.values - (w - RATE * after)).max() <= FLOAT64.limit


def test_the_velocity_before_changes_under_any_permutation(tiny: Checkpoint) -> None:
    before = sgd_step.velocity(tiny)
    assert list(before) == list(tiny)
    for name, values in before.items():
        assert np.array_equal(values.reshape(-1), tiny[name].reshape(-1)[::-1])
        assert values.shape == tiny[name].shape


def test_the_label_of_an_image_is_its_second_class(tmp_path: Path) -> None:
    logits = np.array([[3.0, 9.0, 5.0, 1.0], [-1.0, -2.0, -7.0, -0.5]])
    deviation = {"float32": np.ones((2, 4), np.float32)}
    case = Case("two", np.zeros((2, 3, 1, 1), np.float32), ("a", "b"))
    taps = [
        Prediction(name, values, False, deviation, deviation)
        for name, values in (("before", logits[:, ::-1]), ("logits", logits))
    ]
    found = sgd_step.labels(write_case(case, taps, tmp_path / "case"))
    assert found.tolist() == [2, 0]
    assert found.dtype == np.int64
