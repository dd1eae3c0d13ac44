"""Pools: windows of every kind against ONNX Runtime, and the size of their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from onnx_arbiter.operators.operation import REACH, UNIT, Unsupported
from onnx_arbiter.operators.reductions.pools import average_pool, max_pool
from parity_tests.support.operator_tolerances import CARRIED
from parity_tests.support.operators import (
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)


def attributes_of(rng: np.random.Generator, rank: int) -> dict[str, Any]:
    """A window of random sizes, padded in one way or the other."""
    kernel = [int(size) for size in rng.integers(1, 4, rank)]
    drawn: dict[str, Any] = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(int(size) for size in rng.integers(1, 4, rank)),
    }
    if rng.random() < 0.3:
        drawn["strides"] = tuple(
            min(size, step) for size, step in zip(kernel, drawn["strides"], strict=True)
        )
        return drawn | {"auto_pad": str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    return drawn | {
        "pads": tuple(int(rng.integers(0, size // 2 + 1)) for size in kernel * 2),
        "dilations": tuple(int(size) for size in rng.integers(1, 3, rank)),
        "ceil_mode": int(rng.integers(2)),
    }


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "LpPool"])
def test_windows_lie_where_onnx_runtime_has_them(operator: str) -> None:
    for seed in range(120):
        rng = np.random.default_rng(seed)
        rank = 1 + seed % 3
        attributes = attributes_of(rng, rank)
        if operator == "AveragePool":
            attributes["count_include_pad"] = int(rng.integers(2))
        inputs = [rng.standard_normal((2, 2, *rng.integers(6, 11, rank)), np.float32)]
        node = node_of(operator, inputs, 2 if operator == "MaxPool" else 1, **attributes)
        step = evaluated(node, inputs)
        largest, *places = run_alone(node, step, inputs)
        value = step.outputs["y0"]
        assert value.values.shape == largest.shape, attributes
        if operator == "MaxPool":
            np.testing.assert_array_equal(value.values, largest, str(attributes))
            np.testing.assert_array_equal(step.outputs["y1"].values, places[0], str(attributes))
        else:
            error = np.abs(value.values - largest)
            allowed = 27 * FLOAT32_ROUNDOFF * np.abs(inputs[0]).max()  # of the longest sum
            assert error.max() <= allowed, attributes


def maps(*shape: int) -> Draw:
    """Normal values of a shape."""
    return lambda rng: [rng.standard_normal(shape, np.float32)]


AVERAGES: dict[str, tuple[str, Draw, dict[str, Any]]] = {
    "of whole windows": (
        "AveragePool", maps(1, 4, 9, 9), {"kernel_shape": (3, 3), "strides": (2, 2)},
    ),
    "without padding": (
        "AveragePool", maps(1, 4, 9, 9), {"kernel_shape": (3, 5), "pads": (1, 2, 1, 2)},
    ),
    "with padding": (
        "AveragePool",
        maps(1, 4, 9, 9),
        {"kernel_shape": (3, 5), "pads": (1, 2, 1, 2), "count_include_pad": 1},
    ),
    "of everything": ("GlobalAveragePool", maps(3, 40, 5, 6), {}),
    "norms": ("LpPool", maps(1, 4, 9, 9), {"kernel_shape": (3, 5), "pads": (1, 2, 1, 2)}),
    "norms of order 3": ("LpPool", maps(1, 4, 9, 9), {"kernel_shape": (3, 3), "p": 3}),
    "norms of order 1": ("LpPool", maps(1, 4, 9, 9), {"kernel_shape": (3, 3), "p": 1}),
    "norms of everything": ("GlobalLpPool", maps(3, 40, 5, 6), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_err_as_predicted(name: str) -> None:
    operator, draw, attributes = AVERAGES[name]
    node = node_of(operator, draw(np.random.default_rng(0)), **attributes)
    assert_predicted(measure(node, draw, draws=80))


MAXIMA: dict[str, tuple[str, dict[str, Any]]] = {
    "of windows": ("MaxPool", {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 0, 0)}),
    "of everything": ("GlobalMaxPool", {}),
}


@pytest.mark.parametrize("name", MAXIMA)
def test_maxima_select_values_and_their_errors(name: str) -> None:
    operator, attributes = MAXIMA[name]
    draw = maps(2, 3, 8, 9)
    node = node_of(operator, draw(np.random.default_rng(0)), **attributes)
    measured = measure(node, draw)
    assert measured.ratio == 0
    assert abs(measured.carried - 1) <= CARRIED.limit, measured


def test_a_maximum_has_the_error_of_its_largest_rival_within_reach() -> None:
    """Of 0, 1 and a rival a little less than 1, the rival's variance counts if it may win."""
    variances = np.array([9, 1, 4], np.float32).reshape(1, 1, 3)
    for times, expected in ((0.99, 4.0), (1.01, 1.0)):
        rival = 1 - times * REACH * UNIT * 2
        inputs: list[Array | None] = [np.array([0, 1, rival]).reshape(1, 1, 3)]
        node = node_of("MaxPool", inputs, kernel_shape=(3,))
        [carried] = max_pool(node, inputs).carried([variances])
        assert carried is not None
        assert carried.item() == expected


def test_the_place_of_a_maximum_is_firm_unless_a_rival_is_within_reach() -> None:
    variances = np.array([1, 1, 4], np.float32).reshape(1, 1, 3)
    for times, decides in ((0.99, True), (1.01, False)):
        rival = 1 - times * REACH * UNIT * 3  # both may err
        inputs: list[Array | None] = [np.array([0, 1, rival]).reshape(1, 1, 3)]
        node = node_of("MaxPool", inputs, 2, kernel_shape=(3,))
        operation = max_pool(node, inputs)
        operation.carried([None])
        assert operation.decides == [False, False]
        operation.carried([variances])
        assert operation.decides == [False, decides]


REFUSED: dict[str, dict[str, Any]] = {
    "dilated": {"kernel_shape": (2, 2), "dilations": (2, 1)},
    "smaller than their steps": {"kernel_shape": (1, 3), "strides": (3, 3)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_automatic_padding_is_refused_of_windows_that_are(name: str) -> None:
    inputs: list[Array | None] = [np.zeros((1, 1, 9, 9))]
    for operator, rule in (("MaxPool", max_pool), ("AveragePool", average_pool)):
        with pytest.raises(Unsupported, match="agree"):
            rule(node_of(operator, inputs, auto_pad="SAME_UPPER", **REFUSED[name]), inputs)
