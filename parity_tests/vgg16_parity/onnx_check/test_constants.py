"""What a graph computes of constants is limited; what its file holds is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from parity_tests.support.graphs.nodes import images, node
from vgg16_parity.onnx_check import constants
from vgg16_parity.onnx_check.constants import Constants
from vgg16_parity.onnx_check.symbolic import Constant, NodeContext, Untraceable

VALUES = np.arange(100, dtype=np.float32)
STORED = ir.node("Constant", [], {"value": ir.tensor(VALUES)})
OPSET = 21


def cast(kind: ir.DataType) -> NodeContext:
    node = ir.node("Cast", [ir.val("given")], {"to": int(kind)}, outputs=[ir.val("cast")])
    return NodeContext(node, [Constant(VALUES, "given")], OPSET)


def test_what_the_file_holds_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", VALUES.nbytes)
    known = Constants()
    for _ in range(3):
        np.testing.assert_array_equal(
            known.compute(NodeContext(STORED, [], OPSET)).array, VALUES, strict=True
        )
    assert known.compute(cast(ir.DataType.INT32)).array.dtype == np.int32


def test_what_is_computed_counts_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", 2 * VALUES.nbytes - 1)
    known = Constants()
    known.compute(cast(ir.DataType.INT32))
    with pytest.raises(Untraceable, match="is one of many constants"):
        known.compute(cast(ir.DataType.INT32))


def test_a_cast_counts_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, fits in ((2 * VALUES.nbytes, True), (2 * VALUES.nbytes - 1, False)):
        monkeypatch.setattr(constants, "_MOST_BYTES", most)
        monkeypatch.setattr(constants, "_constant", lambda at: at.inputs[0])
        if fits:
            Constants().compute(cast(ir.DataType.DOUBLE))
        else:
            with pytest.raises(Untraceable, match="is one of many constants"):
                Constants().compute(cast(ir.DataType.DOUBLE))


def test_what_shares_memory_with_an_operand_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", 0)
    found = Constants().compute(node("Reshape", VALUES, [10, 10]))
    assert np.array_equal(found.array, VALUES.reshape(10, 10))
    with pytest.raises(Untraceable, match="is one of many constants"):
        Constants().compute(node("Add", VALUES, VALUES))


TEXT: dict[str, Any] = {
    "value": ir.tensor(["a"]),
    "value_string": "a",
    "value_strings": ["a", "b"],
}


def test_no_text_is_made() -> None:
    with pytest.raises(Untraceable, match="makes text"):
        Constants().compute(cast(ir.DataType.STRING))
    for name, value in TEXT.items():
        with pytest.raises(Untraceable, match="makes text"):
            Constants().compute(node("Constant", **{name: value}))
    assert Constants().compute(node("Constant", value_int=3)).array == 3


def test_the_type_of_a_quantised_weight_tells_that_it_is_none() -> None:
    whole = np.arange(6, dtype=np.int8).reshape(2, 3)
    found = Constants().compute(node("DequantizeLinear", whole, np.float32(0.5)))
    assert np.array_equal(found.array, whole)
    assert (str(found.array.dtype), found.name) == ("int8", "c0")
    zero = np.array(3, np.int16)
    found = Constants().compute(node("QuantizeLinear", VALUES, np.float32(0.5), zero))
    assert (str(found.array.dtype), found.name) == ("int16", "c0")
    assert found.array.shape == VALUES.shape


def ints(count: int) -> Any:
    return np.ones(count, np.int64)


def floats(values: list[float]) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("at", "followed"),
    [
        (node("Add", ints(4096), ints(1)), True),
        (node("Add", ints(4097), ints(1)), False),
        (node("Add", ints(1), ints(4097)), False),
        (node("Transpose", ints(9999), perm=[0]), True),
        (node("Cast", ints(9999), to=int(ir.DataType.FLOAT)), True),
        (node("ConstantOfShape", [64, 64]), True),
        (node("ConstantOfShape", [64, 65]), False),
        (node("ConstantOfShape", [2**40, 2**40]), False),
        (node("Max", ints(4096), ints(4096).reshape(-1, 1)), True),
        (node("Max", ints(4096), ints(4096).reshape(-1, 1), ints(2).reshape(-1, 1, 1)), False),
        (node("Max", ints(4097), ints(1)), False),
        (node("Concat", *[ints(4096)] * 4096, axis=0), True),
        (node("Concat", *[ints(4096)] * 4096, ints(1), axis=0), False),
        (node("Concat", ints(4097), ints(1), axis=0), False),
        (node("Conv", ints(9).reshape(1, 1, 3, 3), ints(1).reshape(1, 1, 1, 1)), False),
        (node("Exp", np.ones(1, np.float32)), False),
    ],
)
def test_only_small_operands_are_computed_with(
    at: NodeContext, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the values are does not matter here.
    monkeypatch.setattr(NodeContext, "evaluate", lambda _: np.zeros(1))
    if followed:
        Constants().compute(at)
    else:
        with pytest.raises(Untraceable, match="computes with constants in a way that is not foll"):
            Constants().compute(at)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (node("Add", [1, 2], [3]), [4, 5]),
        (node("Sub", [1, 2], [3]), [-2, -1]),
        (node("Mul", [1, 2], [3]), [3, 6]),
        (node("Div", [7, 8], [3]), [2, 2]),
        (node("Mod", [7, 8], [3]), [1, 2]),
        (node("Equal", [1, 2], [2]), [False, True]),
        (node("Max", [1, 5], [3]), [3, 5]),
        (node("Min", [1, 5], [3]), [1, 3]),
        (node("Where", np.array([True, False]), [1, 2], [3, 4]), [1, 4]),
        (node("Concat", [1, 2], [3], axis=0), [1, 2, 3]),
        (node("ConstantOfShape", [2]), [0.0, 0.0]),
        (node("Ceil", floats([1.5])), [2.0]),
        (node("Floor", floats([1.5])), [1.0]),
        (node("Round", floats([2.5])), [2.0]),
        (node("Sqrt", floats([9])), [3.0]),
        (node("ReduceMin", [4, 3], [0], keepdims=0), 3),
        (node("ReduceProd", [4, 3], [0], keepdims=0), 12),
        (node("Gather", [4, 3], [1]), [3]),
        (node("Slice", [4, 3, 2], [1], [2]), [3]),
        (node("Constant", value_ints=[5, 6]), [5, 6]),
        (node("Unsqueeze", [4], [0]), [[4]]),
    ],
)
def test_how_exporters_compute_shapes_is_followed(at: NodeContext, expected: Any) -> None:
    found = Constants().compute(at)
    assert np.array_equal(found.array, expected)


def test_a_result_is_named_after_the_weight_among_its_operands() -> None:
    weight = np.ones(3, np.float32)
    assert Constants().compute(node("Reshape", weight, [3, 1])).name == "c0"
    assert Constants().compute(node("Where", np.ones(3, bool), weight, 2 * weight)).name == "c1"
    assert Constants().compute(node("Add", [1], [2])).name == "Add mine"
    assert Constants().compute(NodeContext(STORED, [], OPSET)).name.startswith("Constant ")


def test_constants_are_none_of_the_images() -> None:
    at = node("Cast", images(1, 2, 3, 4), to=int(ir.DataType.INT32))
    with pytest.raises(Untraceable, match="computed from the images"):
        Constants().compute(at)
