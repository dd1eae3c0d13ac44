"""Functions of ONNX, and branches: the nodes that they stand for, and errors that pass through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Attribute, Constant, Graph, Input, Node, read_by
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.operators.fallbacks.function_bodies import expand
from onnx_arbiter.operators.fallbacks.inline import Inlined
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operator_tolerances import (
    FUNCTION_BODIES,
    REFERENCE,
    THROUGH_BODIES,
)
from parity_tests.support.operators import (
    FLOAT32,
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
)

FLOAT = np.dtype(np.float32)


def normal(*shapes: tuple[int, ...], others: Sequence[Array] = ()) -> Draw:
    """Normal inputs, and others that are fixed."""
    return lambda rng: [*(rng.standard_normal(shape, np.float32) for shape in shapes), *others]


POSITIONS = np.tile(np.arange(5), (2, 1))
CASES: dict[str, tuple[str, Draw, dict[str, Any]]] = {
    "Attention": (
        "Attention",
        normal((2, 12, 8), (2, 7, 8), (2, 7, 8)),
        {"version": 23, "q_num_heads": 2, "kv_num_heads": 2},
    ),
    "Attention, causal, with grouped heads": (
        "Attention",
        normal((2, 4, 8, 8), (2, 2, 8, 8), (2, 2, 8, 8)),
        {"version": 23, "is_causal": 1, "softcap": 2.0},
    ),
    "Attention with a mask": (
        "Attention",
        normal((2, 4, 5, 8), (2, 2, 6, 8), (2, 2, 6, 8), others=[np.tri(5, 6, 1) > 0]),
        {"version": 24},
    ),
    "RotaryEmbedding": (
        "RotaryEmbedding",
        normal((2, 4, 5, 8), (50, 4), (50, 4), others=[POSITIONS]),
        {"version": 23},
    ),
    "RotaryEmbedding, interleaved": (
        "RotaryEmbedding",
        normal((2, 5, 32), (50, 4), (50, 4), others=[POSITIONS]),
        {"version": 23, "num_heads": 4, "interleaved": 1},
    ),
    "AffineGrid": ("AffineGrid", normal((40, 2, 3), others=[np.array([40, 3, 3, 2])]), {}),
    "AffineGrid of volumes": (
        "AffineGrid",
        normal((30, 3, 4), others=[np.array([30, 3, 2, 3, 2])]),
        {"align_corners": 1},
    ),
    "SoftmaxCrossEntropyLoss": (
        "SoftmaxCrossEntropyLoss",
        normal((40, 5), others=[np.arange(40) % 5]),
        {"reduction": "none"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_pass_through_a_body(name: str) -> None:
    operator, draw, attributes = CASES[name]
    node = node_of(operator, draw(np.random.default_rng(0)), **attributes)
    measured = measure(node, draw, draws=40)
    assert abs(measured.carried - 1) <= THROUGH_BODIES.limit, measured
    assert_predicted(replace(measured, carried=1.0), FUNCTION_BODIES.limit)


@pytest.mark.parametrize("size", [(7, 4), (4, 9), (5, 8)])
def test_a_body_of_moves_is_a_move(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    inputs = [values, np.array(size)]
    node = node_of("CenterCropPad", inputs, version=18, axes=(1, 2))
    step = evaluated(node, inputs)
    model = model_of([node], {"y0": FLOAT}, dict(zip(node.inputs, inputs, strict=True)))
    [expected] = ReferenceEvaluator(model).run(None, {"x0": values, "x1": inputs[1]})
    np.testing.assert_array_equal(step.outputs["y0"].values, expected)
    assert step.outputs["y0"].exact
    assert not step.local_deviation("y0", FLOAT32).any()


def _names(nodes: Sequence[Node]) -> list[str]:
    found = list[str]()
    for node in nodes:
        found.append(node.name)
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                found += _names(attribute.nodes)
    return found


def test_inner_names_are_unique_and_begin_with_the_nodes() -> None:
    node = Node("grid", "AffineGrid", ("theta", "size"), ("out",), version=20)
    nodes = expand(node, [FLOAT, np.dtype(np.int64)])
    assert nodes is not None
    names = _names(nodes)
    assert len(set(names)) == len(names)
    assert all(name.startswith("grid/") for name in names)
    assert any(inner.operator == "If" for inner in nodes)
    made = [name for inner in nodes for name in inner.outputs]
    assert len(set(made)) == len(made)
    assert "out" in made
    outside = {name for inner in nodes for name in read_by(inner)} - set(made)
    assert outside == {"theta", "size"}


@pytest.mark.parametrize(("stated", "expected"), [({"lambd": 0.25}, 0.25), ({}, 0.5)])
def test_attributes_are_those_of_the_node_or_defaults(
    stated: dict[str, Attribute], expected: float
) -> None:
    nodes = expand(Node("n", "Shrink", ("x",), ("y",), stated, version=18), [FLOAT])
    assert nodes is not None
    constants = [inner.get("value_float") for inner in nodes if inner.operator == "Constant"]
    assert expected in constants


def test_operators_without_a_body_are_not_expanded() -> None:
    assert expand(Node("n", "Conv", ("x", "w"), ("y",)), [FLOAT, FLOAT]) is None
    assert expand(Node("n", "NoSuch", ("x",), ("y",)), [FLOAT]) is None


@pytest.mark.parametrize("mode", ["bfloat16", "float16"])
def test_inner_values_are_rounded_where_fewer_bits_are_stored(mode: str) -> None:
    operator, draw, attributes = CASES["Attention"]
    inputs = draw(np.random.default_rng(0))
    rule = rule_of(node_of(operator, inputs, **attributes))
    assert rule is not None
    operation = rule(node_of(operator, inputs, **attributes), inputs)
    assert isinstance(operation, Inlined)
    [stored], [computed] = operation.own(MODES[mode]), operation.own(FLOAT32)
    assert stored is not None
    assert computed is not None
    # In units of float32's roundoff, of which one of fewer bits is many thousands.
    assert np.median(stored / computed) > (MODES[mode].stored / FLOAT32.sums) ** 2 / 100


def _with_branches(condition: bool) -> tuple[Graph, dict[str, Array]]:
    """An If of the product of an outer value and a constant, or of that value with itself."""
    weights = np.random.default_rng(1).standard_normal((6, 6)).astype(np.float32)
    product = Graph(
        (Node("p", "MatMul", ("x", "w"), ("p",)),), {}, ("p",), {"w": Constant.of(weights)}
    )
    square = Graph((Node("q", "MatMul", ("x", "x"), ("q",)),), {}, ("q",))
    branches: dict[str, Attribute] = {"then_branch": product, "else_branch": square}
    node = Node("choice", "If", ("condition",), ("y",), branches)
    values = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    inputs = {"x": values, "condition": np.array(condition)}
    graph = Graph((node,), {n: Input(v.dtype, v.shape) for n, v in inputs.items()}, ("y",))
    return graph, inputs


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_is_evaluated_as_its_nodes_would_be(condition: bool) -> None:
    graph, inputs = _with_branches(condition)
    [step] = walk(graph, inputs, list(MODES.values()))
    assert not step.why
    assert step.why_not_alone
    branch = graph.nodes[0].get("then_branch" if condition else "else_branch")
    plain = Graph(branch.nodes, graph.inputs, branch.outputs, branch.constants)
    [expected] = walk(plain, inputs, list(MODES.values()))
    [value], [other] = step.outputs.values(), expected.outputs.values()
    np.testing.assert_array_equal(value.values, other.values)
    for mode in MODES.values():
        ratio = value.deviation(mode) / other.deviation(mode)
        assert np.abs(ratio - 1).max() < REFERENCE.limit
