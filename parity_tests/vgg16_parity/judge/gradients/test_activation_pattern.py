"""An activation pattern may differ from the arbiter's only as far as rounding explains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.expectations import Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.judge.gradients.activation_pattern import (
    ActivationPattern,
    first_unexplained_flip,
)
from vgg16_parity.judge.row import Finding
from vgg16_spec.architecture import Configuration

FLOAT32 = MODES["float32"]
Z = 10.0
NETWORK = Configuration("small", ("3-2", "3-2"), hidden_units=4, input_size=4, classes=3)
SHAPES = {
    "block1_conv1": (1, 2, 4, 4),
    "block2_conv1": (1, 2, 2, 2),
    "fc1": (1, 4),
    "fc2": (1, 4),
}
SIZE = 2.0**-10
CASE = Case("noise", np.ones((1, 3, 4, 4), np.float32), ("noise",))

# The runtime's values of a tap and the arbiter's, both changed in place.
Change = Callable[[NDArray[np.float64], NDArray[np.float64]], None]


def flip(folder: Path, tap: str, change: Change) -> Finding | None:
    """What is found where a tap of the runtime and of the arbiter have been changed."""
    generator = np.random.default_rng(8)
    values = {name: 1 + generator.random(shape) for name, shape in SHAPES.items()}
    taps = {name: array.copy() for name, array in values.items()}
    change(taps[tap], values[tap])
    deviations = {name: np.full(array.shape, SIZE, np.float32) for name, array in values.items()}
    # The two values of a window have errors of different sizes.
    deviations["block1_conv1"][0, 1, 0, 0] *= 3
    predictions = [
        Prediction(name, array, True, {"float32": deviations[name]}, {"float32": deviations[name]})
        for name, array in values.items()
    ]
    expectation = write_case(CASE, predictions, folder / "case")
    return first_unexplained_flip(ActivationPattern(taps), NETWORK, expectation, FLOAT32)


@pytest.mark.parametrize("tap", ["block2_conv1", "fc2"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("distance", "explained"), [(0.99 * Z, True), (1.01 * Z, False)])
def test_a_relu_may_flip_within_the_limit_of_its_kink(
    tmp_path: Path, tap: str, sign: int, distance: float, explained: bool
) -> None:
    def change(runtime: NDArray[np.float64], arbiter: NDArray[np.float64]) -> None:
        runtime.flat[1], arbiter.flat[1] = -sign, sign * distance * SIZE

    found = flip(tmp_path, tap, change)
    assert (found is None) is explained
    if found is not None:
        assert found.first_wrong == tap
        assert found.reason == (
            f"{tap}: 1 ReLU unlike the arbiter's, up to {distance:.3g} predicted standard "
            "deviations from the kink (limit 10)"
        )


@pytest.mark.parametrize(("distance", "explained"), [(3.99 * Z, True), (4.01 * Z, False)])
def test_a_window_may_take_another_winner_within_the_limit_of_both_values(
    tmp_path: Path, distance: float, explained: bool
) -> None:
    # The window of the upper left: the runtime takes its second value, the arbiter its first.
    def change(runtime: NDArray[np.float64], arbiter: NDArray[np.float64]) -> None:
        runtime[0, 1, 0, :2], arbiter[0, 1, 0, :2] = (3, 4), (4, 4 - distance * SIZE)

    found = flip(tmp_path, "block1_conv1", change)
    assert (found is None) is explained
    if found is not None:
        assert found.first_wrong == "block1_pool"
        assert found.reason.startswith("block1_pool: 1 window unlike")


# What the runtime and the arbiter have of a window's two values, in units of SIZE: the runtime's
# winner, and the arbiter's.
@pytest.mark.parametrize(
    ("runtime", "arbiter", "explained"),
    [
        ((9, 8), (0, 3.99 * Z), True),
        ((9, 8), (0, 4.01 * Z), False),
        # Below zero by less than its own error, which is zero behind the ReLU.
        ((9, 8), (-2.99 * Z, 3.99 * Z), True),
        ((9, 8), (-2.99 * Z, 4.01 * Z), False),
        ((9, 8), (400 * Z, 403.99 * Z), True),
        ((9, 8), (400 * Z, 404.01 * Z), False),
        # Closed windows, after the ReLU and before it.
        ((0, 0), (-900 * Z, 0.99 * Z), True),
        ((-3, -4), (-900 * Z, 0.99 * Z), True),
        ((0, 0), (-900 * Z, -1), True),
    ],
)
def test_a_window_is_compared_behind_its_relu(
    tmp_path: Path, runtime: tuple[float, float], arbiter: tuple[float, float], explained: bool
) -> None:
    def change(ours: NDArray[np.float64], right: NDArray[np.float64]) -> None:
        ours[0, 1, :2, :2] = np.array([runtime, (-9, -9)]) * SIZE
        right[0, 1, :2, :2] = np.array([arbiter, (-999 * Z, -999 * Z)]) * SIZE

    found = flip(tmp_path, "block1_conv1", change)
    assert (found is None) is explained
    assert found is None or found.first_wrong == "block1_pool"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tap_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    def change(runtime: NDArray[np.float64], arbiter: NDArray[np.float64]) -> None:
        runtime.flat[2] = value

    found = flip(tmp_path, "fc1", change)
    assert found == Finding("fc1: 1 of its 4 values are not finite", "fc1")


def test_a_dark_window_has_no_winner(tmp_path: Path) -> None:
    # Of values far apart, and all of them far below zero, a runtime shows four zeros.
    def change(runtime: NDArray[np.float64], arbiter: NDArray[np.float64]) -> None:
        runtime[0, 1, 2:, 2:], arbiter[0, 1, 2:, 2:] = 0, [[-9, -7], [-1, -3]]

    assert flip(tmp_path, "block1_conv1", change) is None


def test_a_layer_without_a_relu_is_not_known(tmp_path: Path) -> None:
    expectation = write_case(CASE, (), tmp_path / "case")
    taps = {name: np.ones(shape) for name, shape in SHAPES.items()}
    pattern = ActivationPattern({**taps, "predictions": np.ones((1, 3)), "fc9": np.ones((1, 3))})
    found = first_unexplained_flip(pattern, NETWORK, expectation, FLOAT32)
    assert found == Finding("no layer with a ReLU is called predictions, fc9")


def test_without_a_change_nothing_is_found(tmp_path: Path) -> None:
    assert flip(tmp_path, "fc1", lambda _runtime, _arbiter: None) is None
