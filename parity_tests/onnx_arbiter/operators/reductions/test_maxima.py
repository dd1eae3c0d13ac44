"""Maxima: what is selected, whose error it has, and when its place is undecided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import REACH, UNIT, Unsupported
from onnx_arbiter.operators.reductions.maxima import (
    arg_max,
    arg_min,
    non_max_suppression,
    reduce_max,
    reduce_min,
    top_k,
)
from parity_tests.support.operator_tolerances import CARRIED
from parity_tests.support.operators import evaluated, measure, node_of, run_alone

K = np.array([3], np.int64)
# Equal values show which of them is taken.
TIES = np.array([[3, 1, 3, 2], [1, 1, 5, 5], [0, -2, -2, 0]], np.float32)
Form = tuple[str, list[Array], dict[str, Any], int, int]
PLACED: dict[str, Form] = {
    f"{operator}, {name}": (operator, [TIES], attributes, version, 1)
    for operator in ("ArgMax", "ArgMin")
    for name, attributes, version in (
        ("first axis", {}, 21),
        ("dropped", {"axis": -1, "keepdims": 0}, 21),
        ("the last one", {"axis": 1, "select_last_index": 1}, 13),
    )
}
FORMS: dict[str, Form] = PLACED | {
    "TopK": ("TopK", [TIES, K], {}, 21, 2),
    "TopK, smallest": ("TopK", [TIES, K], {"largest": 0}, 21, 2),
    "TopK, first axis": ("TopK", [TIES, K - 1], {"axis": 0}, 21, 2),
    "TopK by attribute": ("TopK", [TIES], {"k": 2}, 9, 2),
    "TopK of everything": ("TopK", [TIES, K + 1], {}, 21, 2),
    "TopK of integers": ("TopK", [TIES.astype(np.int64), K], {}, 21, 2),
}


@pytest.mark.parametrize("name", FORMS)
def test_values_and_places_are_those_of_the_runtime(name: str) -> None:
    operator, inputs, attributes, version, outputs = FORMS[name]
    node = node_of(operator, inputs, outputs, version, **attributes)
    step = evaluated(node, inputs)
    for output, expected in zip(node.outputs, run_alone(node, step, inputs), strict=True):
        assert step.outputs[output].dtype == expected.dtype
        np.testing.assert_array_equal(step.outputs[output].values, expected)


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin", "TopK"])
def test_selected_values_have_their_own_errors(operator: str) -> None:
    def draw(rng: np.random.Generator) -> list[Array]:
        axes = K if operator == "TopK" else np.array([0, -1], np.int64)
        return [rng.standard_normal((6, 5, 7), np.float32), axes]

    outputs = 2 if operator == "TopK" else 1
    measured = measure(node_of(operator, draw(np.random.default_rng(0)), outputs), draw)
    assert measured.ratio == 0
    assert abs(measured.carried - 1) <= CARRIED.limit


SIGNS = {"ReduceMax": (reduce_max, 1.0), "ReduceMin": (reduce_min, -1.0)}


@pytest.mark.parametrize("operator", SIGNS)
def test_a_rival_within_reach_counts(operator: str) -> None:
    rule, sign = SIGNS[operator]
    for times, expected in ((0.99, 4.0), (1.01, 1.0)):
        values = sign * np.array([[0, 1, 1 - times * REACH * UNIT * 2]])
        inputs = [values, np.array([1], np.int64)]
        operation = rule(node_of(operator, inputs, keepdims=0), inputs)
        [carried, *_] = operation.carried([np.array([[9, 1, 4]], np.float32), None])
        np.testing.assert_array_equal(carried, [expected])


def test_values_that_may_change_places_have_the_larger_error() -> None:
    for times, expected in ((0.99, [4, 4, 9]), (1.01, [1, 4, 9])):
        values = np.array([[0, 1, 1 - times * REACH * UNIT * 3]])
        inputs = [values, K]
        operation = top_k(node_of("TopK", inputs), inputs)
        [carried, _] = operation.carried([np.array([[9, 1, 4]], np.float32), None])
        np.testing.assert_array_equal(carried, [expected])
        assert operation.decides == [False, False]  # nobody reads the places


def test_the_first_value_left_out_counts_as_a_rival() -> None:
    values = np.array([[0, 1, 1 - 0.99 * REACH * UNIT * 3]])
    inputs = [values, np.array([1], np.int64)]
    operation = top_k(node_of("TopK", inputs, 2), inputs)
    [carried, _] = operation.carried([np.array([[9, 1, 4]], np.float32), None])
    np.testing.assert_array_equal(carried, [[4]])
    assert operation.decides == [False, True]


PLACES = {"ArgMax": (arg_max, 1.0), "ArgMin": (arg_min, -1.0)}


@pytest.mark.parametrize("operator", PLACES)
def test_a_place_is_undecided_with_a_rival_within_reach(operator: str) -> None:
    rule, sign = PLACES[operator]
    for times, decides in ((0.99, True), (1.01, False)):
        inputs: list[Array | None] = [sign * np.array([0, 1, 1 - times * REACH * UNIT * 3])]
        operation = rule(node_of(operator, inputs), inputs)
        operation.carried([None])
        assert operation.decides == [False]
        operation.carried([np.array([1, 1, 4], np.float32)])
        assert operation.decides == [decides]


@pytest.mark.parametrize("operator", PLACES)
def test_equal_values_that_are_exact_are_decided(operator: str) -> None:
    inputs: list[Array | None] = [np.array([2.0, 2.0, 2.0])]
    operation = PLACES[operator][0](node_of(operator, inputs), inputs)
    operation.carried([np.zeros(3, np.float32)])
    assert operation.decides == [False]


def test_what_is_open_is_refused() -> None:
    inputs: list[Array | None] = [TIES, K]
    with pytest.raises(Unsupported, match="order"):
        top_k(node_of("TopK", inputs, 2, sorted=0), inputs)
    with pytest.raises(Unsupported, match="boxes"):
        non_max_suppression(node_of("NonMaxSuppression", inputs), inputs)
