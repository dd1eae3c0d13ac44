"""What a node makes of each value alone: nothing, a ReLU, zeros around maps, or another step."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest

from parity_tests.support.graphs.nodes import images, node
from vgg16_parity.onnx_check.layers import LAYERS
from vgg16_parity.onnx_check.symbolic import NodeContext, Step, SymbolicTensor, arrange

X: Final = images(2, 3, 4, 5, steps=("convolution",))
CONV, RELU, POOL, AVERAGE = "convolution", "ReLU", "max pooling", "average pooling"
LARGEST: Final = float(np.finfo(np.float32).max)


def followed(at: NodeContext) -> SymbolicTensor:
    """As the walk does, by the node's operator."""
    return LAYERS[at.operator](at)


def kinds(found: SymbolicTensor) -> list[str]:
    return [step.kind for step in found.steps]


@pytest.mark.parametrize(
    ("at", "nothing"),
    [
        (node("Add", X, 0.0), True),
        (node("Add", 0.0, X), True),
        (node("Sub", X, 0.0), True),
        (node("Sub", 0.0, X), False),
        (node("Mul", X, 1.0), True),
        (node("Mul", 1.0, X), True),
        (node("Div", X, 1.0), True),
        (node("Div", 1.0, X), False),
        (node("Add", X, 1.0), False),
        (node("Sub", X, 1.0), False),
        (node("Mul", X, 0.0), False),
        (node("Div", X, 0.0), False),
        (node("Mul", X, np.ones((3, 1, 1))), True),
        (node("Mul", X, np.array([[[1.0]], [[1.0]], [[2.0]]])), False),
        # Another axis in front.
        (node("Mul", X, np.ones((1, 1, 1, 1, 1))), False),
    ],
)
def test_a_neutral_operand_leaves_the_images_as_they_are(at: NodeContext, nothing: bool) -> None:
    found = followed(at)
    if nothing:
        assert found is at.x
    else:
        assert found.steps == (*X.steps, Step(at.operator, f"{at.operator} mine"))
        assert (found.maps, found.axes) == (X.maps, X.axes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), (RELU,)),
        ((CONV,), (CONV, RELU)),
        ((CONV, POOL), (CONV, RELU, POOL)),
        ((CONV, POOL, POOL), (CONV, RELU, POOL, POOL)),
        ((POOL,), (RELU, POOL)),
        ((CONV, RELU), (CONV, RELU)),
        ((RELU,), (RELU,)),
        ((CONV, RELU, POOL), (CONV, RELU, POOL)),
        ((CONV, RELU, CONV), (CONV, RELU, CONV, RELU)),
        ((CONV, AVERAGE), (CONV, AVERAGE, RELU)),
    ],
)
def test_a_relu_moves_before_max_pooling_and_counts_once(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    found = followed(node("Relu", images(2, 3, 4, 5, steps=before)))
    assert kinds(found) == list(after)
    added = [step for step in found.steps if step.node == "Relu mine"]
    assert len(added) == len(after) - len(before)


@pytest.mark.parametrize(
    ("at", "relu"),
    [
        (node("Clip", X, 0.0), True),
        (node("Clip", X, 0.0, LARGEST), True),
        (node("Clip", X, 0.0, float("inf")), True),
        (node("Clip", X, 0.0, LARGEST / 2), False),
        (node("Clip", X, -1.0), False),
        (node("Clip", X, 1.0), False),
        (node("Clip", X, None, LARGEST), False),
        (node("Clip", X), False),
        (node("Clip", X, min=0.0, opset=6), True),
        (node("Clip", X, min=0.0, max=6.0, opset=6), False),
        (node("Clip", X, min=1.0, opset=6), False),
        (node("Clip", X, max=LARGEST, opset=6), False),
        (node("Max", X, 0.0), True),
        (node("Max", np.zeros((1, 1)), X), True),
        (node("Max", X, 1.0), False),
        (node("Max", X, np.zeros(5)), False),
        (node("Max", X, 0.0, 0.0), False),
        (node("Max", X), False),
        (node("LeakyRelu", X), False),
        (node("LeakyRelu", X, alpha=0.5), False),
        (node("LeakyRelu", X, alpha=0.0), True),
    ],
)
def test_what_keeps_positive_values_and_makes_others_zero_is_a_relu(
    at: NodeContext, relu: bool
) -> None:
    assert kinds(followed(at)) == [CONV, RELU if relu else at.operator]


NHWC: Final = SymbolicTensor(arrange((2, 3, 4, 5)).transpose(0, 2, 3, 1), (2, 3, 4, 5), X.steps)
AROUND: Final = [0, 0, 1, 2, 0, 0, 3, 4]


@pytest.mark.parametrize(
    ("at", "pads"),
    [
        (node("Pad", X, AROUND), (1, 2, 3, 4)),
        (node("Pad", X, AROUND, 0.0), (1, 2, 3, 4)),
        (node("Pad", X, pads=AROUND, opset=2), (1, 2, 3, 4)),
        (node("Pad", X, pads=AROUND, value=0.0, mode="constant", opset=2), (1, 2, 3, 4)),
        (node("Pad", X, [1, 2, 3, 4], None, [2, 3]), (1, 2, 3, 4)),
        (node("Pad", X, [1, 2, 3, 4], None, [3, 2]), (2, 1, 4, 3)),
        (node("Pad", X, [1, 2], None, [-1]), (0, 1, 0, 2)),
        (node("Pad", X, [1, 0], None, [2]), (1, 0, 0, 0)),
        (node("Pad", NHWC, [0, 1, 2, 0, 0, 3, 4, 0]), (1, 2, 3, 4)),
        (node("Pad", X, [0] * 8), None),
        (node("Pad", X, [0] * 8, 1.0), None),
        (node("Pad", X, AROUND, 1.0), ()),
        (node("Pad", X, pads=AROUND, value=0.5, opset=2), ()),
        (node("Pad", X, AROUND, mode="edge"), ()),
        (node("Pad", X, [0, 1, 1, 2, 0, 0, 3, 4]), ()),
        (node("Pad", X, [1, 0, 0, 0, 0, 0, 0, 0]), ()),
        (node("Pad", X, [0, 0, -1, 2, 0, 0, 3, 4]), ()),
    ],
)
def test_zeros_around_height_and_width_are_padding(
    at: NodeContext, pads: tuple[int, ...] | None
) -> None:
    found = followed(at)
    if pads is None:
        assert found is at.x
    elif not pads:
        assert kinds(found) == [CONV, "Pad"]
        assert found.maps == at.x.maps
    else:
        top, left, bottom, right = pads
        assert found.steps[1:] == (Step("padding", "Pad mine", sizes={"pads": pads}),)
        assert found.maps == (2, 3, 4 + top + bottom, 5 + left + right)
        assert found.axes == at.x.axes


FLAT: Final = SymbolicTensor(arrange((2, 3, 1, 1)).reshape(2, 3), (2, 3, 1, 1))


@pytest.mark.parametrize(
    ("at", "kind"),
    [
        (node("Softmax", FLAT), "softmax"),
        (node("Softmax", FLAT, opset=13), "softmax"),
        (node("Softmax", FLAT, opset=12), "softmax"),
        (node("Softmax", FLAT, axis=1), "softmax"),
        (node("Softmax", FLAT, axis=-1), "softmax"),
        (node("Softmax", FLAT, axis=0), "Softmax"),
        (node("Softmax", FLAT, axis=-2), "Softmax"),
        (node("Softmax", X), "Softmax"),
    ],
)
def test_a_softmax_along_the_classes_is_the_networks(at: NodeContext, kind: str) -> None:
    assert kinds(followed(at))[-1] == kind


def test_dropout_is_nothing_but_in_training() -> None:
    for at in (
        node("Dropout", X),
        node("Dropout", X, 0.5),
        node("Dropout", X, 0.5, np.array(False)),
    ):
        assert followed(at) is X
    (note,) = followed(node("Dropout", X, 0.5, np.array(True))).notes
    assert note == ("Dropout mine", "is in training mode: export the model in evaluation mode")


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT32", "BOOL"])
def test_a_cast_to_fewer_bits_is_noted_and_one_to_whole_numbers_is_a_step(kind: str) -> None:
    found = followed(node("Cast", X, to=int(ir.DataType[kind])))
    rounds = f"rounds to {kind.lower()}, where the network computes in float32"
    noted = kind in ("FLOAT16", "BFLOAT16")
    assert found.notes == ((("Cast mine", rounds),) if noted else ())
    assert kinds(found) == [CONV] + ["Cast"] * (kind in ("INT32", "BOOL"))


def quantized(x: SymbolicTensor, zero: Any = None, **attributes: Any) -> SymbolicTensor:
    return followed(node("QuantizeLinear", x, 0.1, zero, **attributes))


@pytest.mark.parametrize(
    ("before", "zero", "attributes", "kind", "relu"),
    [
        ((CONV,), None, {}, "uint8", True),
        ((CONV,), np.array(0, np.uint8), {}, "uint8", True),
        ((CONV,), np.array(1, np.uint8), {}, "uint8", False),
        ((CONV,), np.array(-128, np.int8), {}, "int8", True),
        ((CONV,), np.array(0, np.int8), {}, "int8", False),
        ((CONV,), np.array([0, 0], np.uint8), {}, "uint8", True),
        ((CONV,), np.array([0, 1], np.uint8), {}, "uint8", False),
        ((CONV,), None, {"output_dtype": int(ir.DataType.INT8)}, "int8", False),
        ((CONV,), None, {"output_dtype": int(ir.DataType.UINT16)}, "uint16", True),
        (("dense layer",), None, {}, "uint8", True),
        ((CONV, POOL), None, {}, "uint8", True),
        ((CONV, AVERAGE), None, {}, "uint8", False),
        ((), None, {}, "uint8", False),
    ],
)
def test_rounding_to_integers_from_zero_is_a_relu_too(
    before: tuple[str, ...], zero: Any, attributes: dict[str, Any], kind: str, relu: bool
) -> None:
    found = quantized(images(2, 3, 4, 5, steps=before), zero, **attributes)
    ((_, what),) = found.notes
    assert what == f"rounds to {kind}, where the network computes in float32"
    at = 1 if POOL in before else len(before)
    assert kinds(found) == [*before[:at], *[RELU] * relu, *before[at:]]


def test_rounding_to_a_float_of_eight_bits_is_no_relu() -> None:
    found = quantized(X, output_dtype=int(ir.DataType.FLOAT8E4M3FN))
    assert kinds(found) == [CONV]
    assert len(found.notes) == 1
