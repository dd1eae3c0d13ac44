"""The types that a graph stores its weights in, and what they cost, are told in a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx_ir as ir
import pytest

from vgg16_parity.onnx_check.accuracy import Accuracy, measure, precision_of, sentence

TYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "int32": np.int32,
    "int64": np.int64,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
}


def graph(nodes: list[ir.Node], *tensors: Any) -> Any:
    values = [
        ir.Value(name=f"w{place}", const_value=ir.tensor(tensor))
        for place, tensor in enumerate(tensors)
    ]
    return SimpleNamespace(graph=ir.Graph([], [], nodes=nodes, initializers=values))


def matrix(kind: Any) -> Any:
    return np.ones((2, 3), kind)


def test_weights_of_fewer_bits_are_counted_the_most_frequent_first() -> None:
    assert precision_of(graph([], *map(matrix, TYPES.values()))) == ""
    assert precision_of(graph([], matrix(np.float16), np.ones((2, 3), np.float32))) == "float16"
    many = [matrix(np.float16), matrix(np.int8), matrix(np.uint8), matrix(np.int16)]
    assert precision_of(graph([], *many)) == "int8, float16, int16"
    # Biases and scales are no weights.
    assert precision_of(graph([], np.ones(3, np.int8), np.array(1, np.float16))) == ""


def test_constants_among_the_nodes_count_as_well() -> None:
    stored = ir.node("Constant", [], {"value": ir.tensor(matrix(np.float16))})
    other = ir.node("ConstantOfShape", [ir.val("s")], {"value": ir.tensor(matrix(np.int8))})
    assert precision_of(graph([stored, other, ir.node("Constant", [], {"value_int": 3})])) == (
        "float16"
    )


def test_packed_weights_have_the_bits_that_their_node_says() -> None:
    for attributes, kind in (({}, "int4"), ({"bits": 2}, "int2"), ({"bits": 8}, "int8")):
        packed = ir.Value(name="packed", const_value=ir.tensor(matrix(np.uint8)))
        product = ir.node("MatMulNBits", [ir.val("x"), packed], attributes, domain="com.microsoft")
        known = SimpleNamespace(graph=ir.Graph([], [], nodes=[product], initializers=[packed]))
        assert precision_of(cast("Any", known)) == kind


def test_a_graph_that_only_rounds_its_values_has_eight_bits() -> None:
    for tensors, kind in (((), "int8"), ((matrix(np.float16),), "float16")):
        rounds = ir.node("QuantizeLinear", [ir.val("x"), ir.val("s")])
        assert precision_of(graph([rounds], *tensors)) == kind
    assert precision_of(graph([ir.node("Relu", [ir.val("x")])])) == ""


EXPECTED = np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("outputs", "expected", "decibels", "agrees"),
    [
        # 26 over 0.26 is 20 dB.
        (np.array([[3.5, 4.0, 0.0], [1.0, 0.1, 0.0]]), EXPECTED, 20.0, 2),
        (np.array([[4.5, 4.0, 0.0], [1.0, 0.0, 0.0]]), EXPECTED, 10.63, 1),
        (EXPECTED, EXPECTED, None, 2),
        (EXPECTED * np.nan, EXPECTED, None, 1),
        (EXPECTED + 1, 0 * EXPECTED, None, 1),
    ],
)
def test_the_cost_is_the_ratio_of_both_sums_of_squares(
    outputs: Any, expected: Any, decibels: float | None, agrees: int
) -> None:
    found = measure("int8", outputs.astype(np.float32), expected)
    assert (found.precision, found.pictures, found.top1_agrees) == ("int8", 2, agrees)
    assert found.sqnr_db == decibels


def test_the_cost_is_told() -> None:
    assert sentence(Accuracy("int4, int8", 31.26, 1, 2)) == (
        "quantised to int4, int8: SQNR 31.3 dB, top-1 agrees on 1 of 2 pictures; "
        "not the checkpoint's weights"
    )
    assert sentence(Accuracy("float16", None, 1, 1)).startswith(
        "rounded to float16: SQNR unknown, top-1 agrees on 1 of 1 picture; "
    )
