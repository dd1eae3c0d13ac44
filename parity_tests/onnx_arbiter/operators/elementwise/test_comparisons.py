"""Comparisons, logic and bits: values, and when rounding may change an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Graph, Input, Node
from onnx_arbiter.operators.elementwise.comparisons import RULES
from onnx_arbiter.operators.operation import REACH
from parity_tests.support.carried_errors import variance_of
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone

COMPARISONS = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
FLOATS = [
    np.array([1, 2, 3, np.inf, np.nan], np.float32),
    np.array([2, 2, 2, np.inf, 1], np.float32),
]
BOOLEANS = [np.array([True, True, False, False]), np.array([True, False, True, False])]
BITS = [np.array([5, 12, 255], np.uint8), np.array([1, 3, 7], np.uint8)]

CASES: dict[str, tuple[str, Sequence[Array], dict[str, Any]]] = {
    **{f"{name} of floats": (name, FLOATS, {}) for name in COMPARISONS},
    **{
        f"{name} of integers": (name, [np.array([1, 2, 3]), np.array([[2], [3]])], {})
        for name in COMPARISONS
    },
    **{name: (name, BOOLEANS, {}) for name in ("And", "Or", "Xor")},
    "Not": ("Not", BOOLEANS[:1], {}),
    **{f"Bitwise{name}": (f"Bitwise{name}", BITS, {}) for name in ("And", "Or", "Xor")},
    "BitwiseNot": ("BitwiseNot", BITS[:1], {}),
    "BitShift left": ("BitShift", BITS, {"direction": "LEFT"}),
    "BitShift right": ("BitShift", BITS, {"direction": "RIGHT"}),
    "IsNaN": ("IsNaN", FLOATS[:1], {}),
    "IsInf": ("IsInf", [np.array([np.inf, -np.inf, 1, np.nan], np.float32)], {}),
    "IsInf above": (
        "IsInf",
        [np.array([np.inf, -np.inf, 1, np.nan], np.float32)],
        {"detect_negative": 0},
    ),
    "IsInf below": (
        "IsInf",
        [np.array([np.inf, -np.inf, 1, np.nan], np.float32)],
        {"detect_positive": 0},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_outcomes_are_those_of_a_runtime(name: str) -> None:
    operator, inputs, attributes = CASES[name]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    value, [expected] = step.outputs["y0"], run_alone(node, step, inputs)
    assert value.values.dtype == expected.dtype
    np.testing.assert_array_equal(value.values, expected)
    assert value.exact
    assert len(np.unique(value.values)) > 1


@pytest.mark.parametrize("operator", COMPARISONS)
@pytest.mark.parametrize("erring", [0, 1])
def test_rounding_decides_what_is_within_reach(operator: str, erring: int) -> None:
    deviation = 1e-6
    for gap, decides in [(0.9, True), (1.1, False)]:
        inputs = [np.array([5.0, 1.0]), np.array([3.0, 1.0 + gap * REACH * deviation])]
        operation = RULES[operator](node_of(operator, inputs), inputs)
        variances: list[np.ndarray | None] = [None, None]
        variances[erring] = variance_of(deviation, inputs[erring])
        assert operation.carried(variances) == (None,)
        assert operation.decides == [decides]


def test_rounding_decides_nothing_between_exact_values() -> None:
    inputs = [np.zeros(2), np.zeros(2)]
    operation = RULES["Equal"](node_of("Equal", inputs), inputs)
    operation.carried([np.zeros(2, np.float32), None])
    assert operation.decides == [False]


def test_the_walk_says_what_rounding_decides() -> None:
    nodes = (
        Node("square", "Mul", ("x", "x"), ("s",)),
        Node("less", "Less", ("s", "limit"), ("y",)),
    )
    given: dict[str, Array] = {
        "x": np.array([0.1, 3], np.float32),
        "limit": np.array(0.01, np.float32),
    }
    graph = Graph(nodes, {n: Input(v.dtype, v.shape) for n, v in given.items()}, ("y",))
    *_, last = walk(graph, given, [FLOAT32])
    assert "rounding may change" in last.reason(FLOAT32)
    *_, last = walk(graph, given | {"limit": np.array(0.02, np.float32)}, [FLOAT32])
    assert not last.reason(FLOAT32)
