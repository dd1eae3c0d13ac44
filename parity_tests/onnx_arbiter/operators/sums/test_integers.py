"""Sums of quantised integers: exact values, and what errors of each input bring to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Graph, Input, Node
from onnx_arbiter.operators.operation import UNIT
from parity_tests.support.operator_tolerances import EXACT_INTEGERS, FLOAT32_VARIANCES
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone
from parity_tests.support.quantised import STRIDED, Form, int8, operation_of, uint8

SUMS: dict[str, Form] = {
    "a convolution": ("ConvInteger", [uint8(1, 3, 5, 5), int8(2, 3, 3, 3)], {}),
    "a padded, grouped one with zeros": (
        "ConvInteger",
        [uint8(2, 6, 7, 8), uint8(4, 3, 3, 2), uint8(), uint8()],
        STRIDED,
    ),
    "a product": ("MatMulInteger", [uint8(3, 5), int8(5, 4), uint8(), int8()], {}),
    "one of signed integers": ("MatMulInteger", [int8(2, 3, 5), int8(5, 4)], {}),
    "one with zeros of columns": (
        "MatMulInteger",
        [uint8(3, 5), int8(5, 4), uint8(1), int8(4)],
        {},
    ),
    "stacked ones with zeros of columns": (
        "MatMulInteger",
        [uint8(2, 3, 5), int8(2, 5, 4), uint8(), int8(2, 1, 4)],
        {},
    ),
}
# ONNX Runtime knows no zeros of rows, and none of channels.
ROWS: Form = ("MatMulInteger", [uint8(3, 5), int8(5, 4), uint8(3), int8(4)], {})
CHANNELS: Form = (
    "ConvInteger",
    [uint8(1, 2, 4, 4), int8(3, 2, 3, 3), uint8(), int8(3)],
    {"auto_pad": "SAME_UPPER"},
)
ALL_SUMS = SUMS | {"one with zeros of rows": ROWS, "one with zeros of channels": CHANNELS}


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_those_of_a_runtime(name: str) -> None:
    operator, inputs, attributes = SUMS[name]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    value, [expected] = step.outputs["y0"], run_alone(node, step, inputs)
    assert value.dtype == expected.dtype == np.int32
    np.testing.assert_array_equal(value.values, expected)
    assert value.exact
    # It is judged alone, with nothing allowed.
    assert step.local["y0"]["float32"] is not None
    assert step.local_deviation("y0", FLOAT32).max() <= 2 * FLOAT32.smallest


def test_zeros_of_rows_are_subtracted_from_rows() -> None:
    operator, inputs, _ = ROWS
    left, right, rows, columns = (np.asarray(values).astype(int) for values in inputs)
    [found] = operation_of(operator, inputs).outputs
    np.testing.assert_array_equal(found, (left - rows[:, None]) @ (right - columns[None]))


def test_zeros_of_channels_are_subtracted_from_channels() -> None:
    operator, inputs, attributes = CHANNELS
    maps, kernels, zero, channels = map(np.asarray, inputs)
    [found] = operation_of(operator, inputs, **attributes).outputs
    for channel, of_channel in enumerate(channels):
        given = [maps, kernels[channel : channel + 1], zero, np.asarray(of_channel)]
        node = node_of(operator, given, **attributes)
        [expected] = run_alone(node, evaluated(node, given), given)
        np.testing.assert_array_equal(found[:, channel], expected[:, 0])


def effects(function: Callable[[Sequence[Array | None]], Array], inputs: Any, index: int) -> Array:
    """The sum of the squared effects of an error of 1 of each element of an input."""
    total = np.zeros(function(inputs).shape)
    for place in np.ndindex(inputs[index].shape):
        moved = inputs[index].astype(np.float64)
        moved[place] += 1
        given = [*inputs[:index], moved, *inputs[index + 1 :]]
        total += np.square(function(given) - function(inputs))
    return total


@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name in ALL_SUMS for i in range(len(ALL_SUMS[name][1]))]
)
def test_an_error_of_each_input_reaches_the_sums_it_is_in(name: str, index: int) -> None:
    operator, inputs, attributes = ALL_SUMS[name]

    def function(given: Sequence[Array | None]) -> Array:
        return operation_of(operator, given, **attributes).outputs[0]

    values = inputs[index]
    assert values is not None
    nothing = [None] * len(inputs)
    [found] = operation_of(operator, inputs, **attributes).carried(
        [*nothing[:index], np.ones(values.shape, np.float32), *nothing[index + 1 :]]
    )
    assert found is not None
    expected = effects(function, list(inputs), index)
    np.testing.assert_allclose(
        np.broadcast_to(found, expected.shape), expected, rtol=FLOAT32_VARIANCES.limit
    )


def test_exact_inputs_bring_no_errors() -> None:
    for operator, inputs, attributes in ALL_SUMS.values():
        operation = operation_of(operator, inputs, **attributes)
        assert operation.carried([None] * len(inputs)) == (None,)


@pytest.mark.parametrize(("terms", "roundings"), [(500, 0), (600, 1)])
def test_sums_that_float32_does_not_hold_are_rounded_once_in_it(terms: int, roundings: int) -> None:
    """500 · 255 · 127 is below 2^24, 600 · 255 · 127 is not."""
    nodes = (
        Node("sum", "MatMulInteger", ("x", "w"), ("total",)),
        Node("cast", "Cast", ("total",), ("y",), {"to": 1}),
    )
    right = np.full((terms, 6), 127, np.int8)
    right[0] -= np.arange(6, dtype=np.int8)
    given: dict[str, Array] = {"x": np.full((1, terms), 255, np.uint8), "w": right}
    graph = Graph(nodes, {n: Input(v.dtype, v.shape) for n, v in given.items()}, ("y",))
    *_, last = walk(graph, given, [FLOAT32])
    value = last.outputs["y"]
    assert value.dtype == np.float32
    deviation = value.deviation(FLOAT32)
    if not roundings:
        assert float(deviation.max()) < EXACT_INTEGERS.limit
        return
    expected = roundings**0.5 * UNIT * value.values
    np.testing.assert_allclose(deviation, expected, rtol=FLOAT32_VARIANCES.limit)
