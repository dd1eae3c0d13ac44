"""Steps: values, and that an error which may cross one is predicted to be as large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Graph, Input, Node
from onnx_arbiter.operators.operation import REACH, UNIT
from onnx_arbiter.operators.rules import RULES
from parity_tests.support.carried_errors import variance_of
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES, NO_STEP, QUANTISED_ELSEWHERE
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone

DEVIATION = 1e-6
# operator, other inputs, attributes, a step, its height
STEPS: dict[str, tuple[str, Sequence[Array], dict[str, Any], float, float]] = {
    "Sign": ("Sign", [], {}, 0.0, 2.0),
    "Floor": ("Floor", [], {}, -3.0, 1.0),
    "Floor at zero": ("Floor", [], {}, 0.0, 1.0),
    "Ceil": ("Ceil", [], {}, 2.0, 1.0),
    "Round": ("Round", [], {}, 2.5, 1.0),
    "ThresholdedRelu": ("ThresholdedRelu", [], {"alpha": 0.75}, 0.75, 0.75),
    "Mod": ("Mod", [np.array(0.75)], {"fmod": 1}, 1.5, 0.75),
    "QuantizeLinear": (
        "QuantizeLinear",
        [np.array(0.5, np.float32), np.array(3, np.int8)],
        {},
        0.75,
        1.0,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_an_error_within_reach_of_a_step_is_as_large_as_the_step(name: str) -> None:
    operator, others, attributes, step, height = STEPS[name]
    reached = np.array([-1.1, -0.9, -1e-3, 0.0, 1e-3, 0.9, 1.1])
    values = step + reached * REACH * DEVIATION
    node = node_of(operator, [values, *others], **attributes)
    operation = RULES[operator](node, [values, *others])
    others_exact: list[None] = [None] * len(others)
    [variance] = operation.carried([variance_of(DEVIATION, values), *others_exact])
    assert variance is not None
    deviations = np.sqrt(variance, dtype=np.float64) * UNIT
    crossing = np.abs(reached) < 1
    assert np.all(deviations[crossing] >= height * (1 - FLOAT32_VARIANCES.limit))
    assert np.all(deviations[crossing] <= height + 4 * DEVIATION)
    assert np.all(deviations[~crossing] <= DEVIATION * (1 + FLOAT32_VARIANCES.limit))
    # And there is a step: the values on both sides differ by its height.
    [outputs] = operation.outputs
    assert abs(abs(outputs[-1] - outputs[0]) - height) <= 3 * REACH * DEVIATION


@pytest.mark.parametrize("operator", ["Sign", "Floor", "Ceil", "Round"])
def test_values_are_those_of_a_runtime(operator: str) -> None:
    halves = np.arange(-9, 10, dtype=np.float32) / 2
    inputs = [np.concatenate([halves, np.float32(1.1) * halves])]
    node = node_of(operator, inputs)
    step = evaluated(node, inputs)
    np.testing.assert_array_equal(step.outputs["y0"].values, run_alone(node, step, inputs)[0])
    assert step.outputs["y0"].exact


def test_the_sign_of_integers_is_exact() -> None:
    inputs = [np.array([-3, 0, 5])]
    value = evaluated(node_of("Sign", inputs), inputs).outputs["y0"]
    np.testing.assert_array_equal(value.values, [-1, 0, 1])
    assert value.values.dtype == np.int64


MAPS = (2, 3, 4, 5)
QUANTISED: dict[str, tuple[Sequence[Array], dict[str, Any]]] = {
    "of a tensor": ([np.array(0.02, np.float32), np.array(117, np.uint8)], {}),
    "to int8": ([np.array(0.02, np.float32), np.array(-9, np.int8)], {}),
    "to int16": ([np.array(0.001, np.float32), np.array(0, np.int16)], {}),
    "without a zero": ([np.array(0.02, np.float32)], {}),
    "of each channel": (
        [np.array([0.02, 0.03, 0.01], np.float32), np.array([1, 2, 3], np.uint8)],
        {"axis": 1},
    ),
    "of each slice of the last axis": (
        [np.linspace(0.01, 0.04, 5, dtype=np.float32), np.arange(-2, 3).astype(np.int8)],
        {"axis": -1},
    ),
    "of blocks": (
        [
            np.linspace(0.01, 0.04, 2 * 3 * 2 * 5, dtype=np.float32).reshape(2, 3, 2, 5),
            np.arange(60).reshape(2, 3, 2, 5).astype(np.int8),
        ],
        {"axis": 2, "block_size": 2},
    ),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_integers_are_those_of_a_runtime(name: str) -> None:
    others, attributes = QUANTISED[name]
    rng = np.random.default_rng(0)
    inputs = [2 * rng.standard_normal(MAPS, np.float32), *others]
    node = node_of("QuantizeLinear", inputs, **attributes)
    step = evaluated(node, inputs)
    value, [expected] = step.outputs["y0"], run_alone(node, step, inputs)
    assert value.dtype == expected.dtype
    deviation = step.local_deviation("y0", FLOAT32)
    differ = value.values != expected
    assert np.all(np.abs(value.values - expected) <= deviation * differ)
    assert differ.mean() <= QUANTISED_ELSEWHERE.limit


@pytest.mark.parametrize("name", QUANTISED)
def test_dequantised_values_are_rounded_once(name: str) -> None:
    others, attributes = QUANTISED[name]
    kind = others[1].dtype if len(others) > 1 else np.dtype(np.uint8)
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 100, MAPS).astype(kind), *others]
    node = node_of("DequantizeLinear", inputs, **attributes)
    step = evaluated(node, inputs)
    value, [got] = step.outputs["y0"], run_alone(node, step, inputs)
    assert value.dtype == np.float32
    error = np.abs(got - value.values)
    deviation, largest = step.local_deviation("y0", FLOAT32), UNIT * np.abs(value.values)
    assert np.all(error <= 3**0.5 * deviation)
    np.testing.assert_allclose(
        deviation, largest, rtol=FLOAT32_VARIANCES.limit, atol=FLOAT32.smallest
    )


def test_the_quotient_of_quantising_is_rounded() -> None:
    scale = np.array(0.1, np.float32)
    halves = (np.arange(1, 200) + 0.5) * np.float64(scale)
    inputs = [halves.astype(np.float32), scale]
    step = evaluated(node_of("QuantizeLinear", inputs), inputs)
    assert np.all(step.local_deviation("y0", FLOAT32) >= 1)
    between, beyond = halves + 0.01, halves + 256 * np.float64(scale)
    for values in (between, beyond, -halves - np.float64(scale)):
        inputs = [values.astype(np.float32), scale]
        step = evaluated(node_of("QuantizeLinear", inputs), inputs)
        assert np.all(step.local_deviation("y0", FLOAT32) < 1)


def test_errors_of_scales_reach_the_channels_they_scale() -> None:
    integers, scales = np.full((1, 3, 2, 2), 7, np.uint8), np.array([0.02, 0.03, 0.01])
    zeros = np.array([1, 2, 3], np.uint8)
    inputs = [integers, scales, zeros]
    operation = RULES["DequantizeLinear"](node_of("DequantizeLinear", inputs), inputs)
    [variance] = operation.carried([None, np.array([1, 4, 9], np.float32), None])
    assert variance is not None
    np.testing.assert_array_equal(variance[0, :, 1, 1], [36 * 1, 25 * 4, 16 * 9])
    values = np.full((1, 3, 2, 2), 0.0150003)  # 0.75, 0.5 and 1.5 scales
    operation = RULES["QuantizeLinear"](
        node_of("QuantizeLinear", [values, scales]), [values, scales]
    )
    [variance] = operation.carried([None, variance_of(1e-6, scales)])
    assert variance is not None
    np.testing.assert_array_equal(variance[0, :, 1, 1] > 0, [False, True, True])


def test_an_error_passes_through_quantised_integers() -> None:
    """A value next to a half: quantised, then dequantised, it may be off by one scale."""
    nodes = (
        Node("up", "Mul", ("x", "x"), ("square",)),
        Node("q", "QuantizeLinear", ("square", "scale", "zero"), ("integers",)),
        Node("d", "DequantizeLinear", ("integers", "scale", "zero"), ("y",)),
    )
    scale, zero = np.array(0.25, np.float32), np.array(5, np.uint8)
    near_half = np.float32(np.sqrt(0.25 * 7.5))
    given: dict[str, Array] = {
        "x": np.array([near_half, 1.0], np.float32),
        "scale": scale,
        "zero": zero,
    }
    graph = Graph(nodes, {n: Input(v.dtype, v.shape) for n, v in given.items()}, ("y",))
    *_, last = walk(graph, given, [FLOAT32])
    deviation = last.outputs["y"].deviation(FLOAT32)
    assert deviation[0] >= scale
    assert deviation[1] < NO_STEP.limit * scale
    assert last.outputs["y"].dtype == np.float32


@pytest.mark.parametrize("shift", [0.0, 3.0, -9.0])
def test_dynamic_quantising_is_that_of_a_runtime(shift: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        inputs = [(2 * rng.standard_normal((8, 30)) + shift).astype(np.float32)]
        node = node_of("DynamicQuantizeLinear", inputs, outputs=3, version=11)
        step = evaluated(node, inputs)
        for name, got in zip(node.outputs, run_alone(node, step, inputs), strict=True):
            value = step.outputs[name]
            assert value.dtype == got.dtype
            error = np.abs(got - value.values)
            assert np.all(error <= REACH * step.local_deviation(name, FLOAT32)), (name, seed)


def test_errors_of_dynamically_quantised_values() -> None:
    deviation = 1e-6
    values = np.array([0.0, 127.5, 255.0, 77.5 + 1e-3, 77.5 + 5e-6])
    operation = RULES["DynamicQuantizeLinear"](
        node_of("DynamicQuantizeLinear", [values], outputs=3), [values]
    )
    of_y, of_scale, of_zero = operation.carried([variance_of(deviation, values)])
    assert of_y is not None
    assert of_scale is not None
    assert of_zero is not None
    deviations = np.sqrt(of_y) * UNIT
    np.testing.assert_array_equal(
        deviations >= 1 - FLOAT32_VARIANCES.limit, [False, True, False, False, True]
    )
    # The least value is a ReLU's zero.
    np.testing.assert_allclose(
        np.sqrt(of_scale) * UNIT, deviation / 255, rtol=FLOAT32_VARIANCES.limit
    )
    assert of_zero == 0


@pytest.mark.parametrize(
    ("low", "deviation", "moves"),
    [
        (-127.0, 1e-3, False),
        (-127.0, 0.1, True),
        (-1.25, 0.1, True),
        (-100.5 - 1e-3, 1e-3, True),
        (0.0, 0.5, False),
    ],
)
def test_a_zero_moves_where_errors_of_both_ends_may_move_it(
    low: float, deviation: float, moves: bool
) -> None:
    """Scales are near 1: an error of an end moves the zero by its size at most."""
    values = np.array([low, 0.25, 255.0 + low])
    operation = RULES["DynamicQuantizeLinear"](
        node_of("DynamicQuantizeLinear", [values], outputs=3), [values]
    )
    of_y, of_scale, of_zero = operation.carried([variance_of(deviation, values)])
    assert of_y is not None
    assert of_scale is not None
    assert of_zero is not None
    assert (of_zero > 0) == moves
    assert np.all(of_y > 0) or not moves
    ends = 2 if low else 1
    np.testing.assert_allclose(
        np.sqrt(of_scale) * UNIT, ends**0.5 * deviation / 255, rtol=FLOAT32_VARIANCES.limit
    )


def test_an_error_of_the_largest_value_alone_moves_a_zero() -> None:
    """By half of its size, for the zero is in the middle."""
    values = np.array([-127.0, 128.0])
    operation = RULES["DynamicQuantizeLinear"](
        node_of("DynamicQuantizeLinear", [values], outputs=3), [values]
    )
    for size, moves in ((0.9, False), (1.1, True)):
        deviations = np.array([0.0, size / REACH])
        _, _, of_zero = operation.carried([np.square(deviations / UNIT).astype(np.float32)])
        assert of_zero is not None
        assert (of_zero > 0) == moves


def test_a_saturated_integer_moves_where_errors_reach_the_range() -> None:
    """Of 255 steps: 257 is 2.5 beyond the last one, 600 far beyond."""
    values, scale = np.array([257.0, 600.0, -3.0, -900.0]), np.array(1.0, np.float32)
    operation = RULES["QuantizeLinear"](node_of("QuantizeLinear", [values, scale]), [values, scale])
    [small] = operation.carried([variance_of(2.4 / REACH, values), None])
    [large] = operation.carried([variance_of(4.0 / REACH, values), None])
    assert small is not None
    assert large is not None
    np.testing.assert_array_equal(small > 0, [False] * 4)
    np.testing.assert_array_equal(large > 0, [True, False, True, False])
