"""Shapes and constants: exact values, of the types that the graph gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.moves.shapes import constant, non_zero, range_
from onnx_arbiter.operators.operation import REACH, UNIT, Unsupported
from parity_tests.support.operators import (
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)

X = np.ones((2, 3, 4, 5), np.float32)
SIZES = np.array([2, 0, 3], np.int64)
Case = tuple[str, list[Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "Shape": ("Shape", [X], {}),
    "Shape, a part": ("Shape", [X], {"start": 1, "end": -1}),
    "Shape, from the back": ("Shape", [X], {"start": -2, "end": 9}),
    "Size": ("Size", [X], {}),
    "ConstantOfShape": ("ConstantOfShape", [SIZES + 1], {}),
    "ConstantOfShape, empty": ("ConstantOfShape", [SIZES], {}),
    "ConstantOfShape, one": ("ConstantOfShape", [SIZES[:0]], {"value": np.ones(1, np.float16)}),
    "ConstantOfShape of integers": (
        "ConstantOfShape", [SIZES + 1], {"value": np.array([7], np.int32)},
    ),
    "Constant": ("Constant", [], {"value": np.array([[0.1, 2]], np.float32)}),
    "Constant, half": ("Constant", [], {"value": np.array(0.1, np.float16)}),
    "Constant of booleans": ("Constant", [], {"value": np.array([True, False])}),
    "Constant, a float": ("Constant", [], {"value_float": 0.1}),
    "Constant, floats": ("Constant", [], {"value_floats": (0.1, 2.0)}),
    "Constant, an integer": ("Constant", [], {"value_int": 3}),
    "Constant, integers": ("Constant", [], {"value_ints": (3, 4)}),
    "EyeLike": ("EyeLike", [X[0, 0]], {"k": -1}),
    "EyeLike of integers": ("EyeLike", [X[0, 0]], {"k": 1, "dtype": 7}),
    "EyeLike like integers": ("EyeLike", [X[0, 0].astype(np.int32)], {}),
    "EyeLike of doubles": ("EyeLike", [X[0, 0]], {"dtype": 11}),
    "Range of integers": ("Range", [*map(np.array, (3, -8, -3))], {}),
    "Range, empty": ("Range", [*map(np.array, (3, 3, 1))], {}),
    "Range of whole floats": ("Range", [*np.array([2, 9.5, 2], np.float32)], {}),
    "NonZero": ("NonZero", [np.array([[0, 2.5, 0], [1, 0, -3]], np.float32)], {}),
    "NonZero of booleans": ("NonZero", [np.array([True, False, True])], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_types_are_those_of_the_runtime(name: str) -> None:
    operator, given, attributes = CASES[name]
    inputs = [np.asarray(values) for values in given]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    [expected] = run_alone(node, step, inputs)
    value = step.outputs["y0"]
    assert value.dtype == expected.dtype
    assert value.values.dtype == (np.float64 if expected.dtype.kind == "f" else expected.dtype)
    np.testing.assert_array_equal(value.values, expected, strict=False)
    assert value.exact
    assert value.accumulated == {"float32": None}


def test_strings_are_refused() -> None:
    with pytest.raises(Unsupported, match="string"):
        constant(node_of("Constant", [], value_string="x"), [])


def test_ranges_of_fractions_err_as_predicted() -> None:
    def draw(rng: np.random.Generator) -> list[Array]:
        start, delta = rng.uniform(0.1, 1, 2).astype(np.float32)
        return [np.array(start), np.array(start + 30.5 * delta, np.float32), np.array(delta)]

    # Two errors on the inputs a draw: their size is known to 2 % after 2,000.
    node = node_of("Range", draw(np.random.default_rng(0)))
    assert_predicted(measure(node, draw, draws=2000))


def test_a_range_is_undecided_where_an_error_changes_its_length() -> None:
    for off, decides in ((0.99, True), (1.01, False)):
        inputs: list[Array | None] = [
            np.array(0.0), np.array(6.0 + off * REACH * UNIT), np.array(2.0),
        ]  # fmt: skip
        operation = range_(node_of("Range", inputs), inputs)
        operation.carried([None, np.ones((), np.float32), None])
        assert operation.decides == [decides]


def test_an_element_that_may_be_zero_leaves_the_places_undecided() -> None:
    for times, decides in ((0.99, True), (1.01, False)):
        inputs: list[Array | None] = [np.array([0.0, 1.0, times * REACH * UNIT * 2])]
        operation = non_zero(node_of("NonZero", inputs), inputs)
        # An exact zero stays one.
        operation.carried([np.array([0, 1, 4], np.float32)])
        assert operation.decides == [decides]


@pytest.mark.parametrize(("index", "times"), [(0, 1), (1, 1), (2, 4)])
def test_errors_of_a_ranges_start_and_of_each_step_change_its_length(
    index: int, times: int
) -> None:
    """Of four steps: an error of the step is made four times."""
    for off, decides in ((0.99, True), (1.01, False)):
        inputs: list[Array | None] = [
            np.array(0.0), np.array(6.0 + off * times * REACH * UNIT), np.array(2.0),
        ]  # fmt: skip
        operation = range_(node_of("Range", inputs), inputs)
        variances: list[Any] = [None] * 3
        variances[index] = np.ones((), np.float32)
        [carried] = operation.carried(variances)
        assert operation.decides == [decides]
        if index == 1:
            assert carried is None
        else:
            np.testing.assert_array_equal(carried, [[1] * 4, [0, 1, 4, 9]][index // 2])
