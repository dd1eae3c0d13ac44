"""Where each value of the maps lies is known however they are moved, or that it is not."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest

from parity_tests.support.graphs.nodes import images, node
from vgg16_parity.onnx_check.symbolic import (
    Constant,
    NodeContext,
    Step,
    SymbolicTensor,
    Untraceable,
    arrange,
    require_small,
    with_bias,
    words,
)

MAPS: Final = (2, 3, 4, 5)
X: Final = images(*MAPS)


def moved(array: Any, maps: tuple[int, ...] = MAPS) -> SymbolicTensor:
    return SymbolicTensor(array, maps)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_axes_are_told_in_any_order(order: tuple[int, ...]) -> None:
    names = tuple("NCHW"[axis] for axis in order)
    turned = X.array.transpose(order)
    assert moved(turned).axes == names
    assert np.array_equal(arrange(MAPS, names), turned)
    # Two of them as one.
    shape = turned.shape
    flat = turned.reshape(shape[0], shape[1], shape[2] * shape[3])
    assert moved(flat).axes == (names[0], names[1], names[2] + names[3])
    assert np.array_equal(arrange(MAPS, moved(flat).axes), flat)


def test_all_of_an_image_lies_along_one_axis() -> None:
    assert moved(X.array.reshape(2, -1)).axes == ("N", "CHW")
    assert moved(X.array.transpose(0, 2, 3, 1).reshape(2, -1)).axes == ("N", "HWC")
    assert moved(X.array.reshape(-1)).axes == ("NCHW",)
    one = (1, 3, 1, 5)
    assert moved(arrange(one).reshape(1, 15), one).axes == ("", "CW")
    assert moved(arrange(one), one).axes == ("N", "C", "H", "W")
    assert moved(arrange(one)[:, :, 0], one).axes == ("", "C", "W")


def test_values_in_no_such_order_are_not_followed() -> None:
    for array in (X.array[:, ::-1], X.array[:, :2], X.array.reshape(3, 2, 4, 5), X.array[..., :1]):
        with pytest.raises(Untraceable, match="in an order that no layer of the network uses"):
            _ = moved(array).axes


def test_images_are_kept_apart_where_they_alone_lie_along_the_first_axis() -> None:
    one = (1, 3, 4, 5)
    for array, maps, apart in (
        (X.array, MAPS, True),
        (X.array.reshape(2, -1), MAPS, True),
        (X.array.transpose(1, 0, 2, 3), MAPS, False),
        (X.array.reshape(6, 4, 5), MAPS, False),
        (arrange(one).reshape(1, 60), one, True),
        (arrange(one).reshape(3, 1, 20), one, False),
        (arrange((2, 2, 1, 1)).reshape(2, 2).T, (2, 2, 1, 1), False),
    ):
        assert moved(array, maps).keeps_images_apart is apart


def test_an_axis_that_is_not_whole_leaves_the_positions_as_they_are() -> None:
    assert np.array_equal(arrange(MAPS, ("N", "C")), arrange(MAPS))
    assert np.array_equal(arrange((2, 3, 1, 1), ("N", "C")), np.arange(6).reshape(2, 3))
    with pytest.raises(ValueError, match="read-only"):
        arrange(MAPS)[0] = 1


def test_maps_of_any_size_are_not_followed() -> None:
    require_small((1 << 13, 1 << 13))
    with pytest.raises(Untraceable, match="has maps of 8192 × 8193, too large to follow"):
        require_small((1 << 13, (1 << 13) + 1))
    with pytest.raises(Untraceable, match="too large"):
        arrange((1, 1, 1 << 14, 1 << 13))


def test_axes_are_shown_in_words() -> None:
    assert words(("N", "CHW", "")) == "(N, C·H·W, 1)"


def test_a_step_keeps_what_was_before_it() -> None:
    before = SymbolicTensor(X.array, MAPS, (Step("a", "A"),), (("node", "note"),))
    same = before.then(Step("b", "B"))
    assert (same.maps, same.steps) == (MAPS, (Step("a", "A"), Step("b", "B")))
    assert same.array is X.array
    assert same.notes == (("node", "note"),)
    pooled = before.then(Step("b", "B"), (2, 3, 1, 1), ("N", "C"))
    assert (pooled.maps, pooled.array.shape) == ((2, 3, 1, 1), (2, 3))
    noted = node("Cast", before).rounded("float16")
    rounds = ("Cast mine", "rounds to float16, where the network computes in float32")
    assert noted.notes == (("node", "note"), rounds)
    assert node("Sin", before).step().steps[-1] == Step("Sin", "Sin mine")
    assert node("Sin", before).step("softmax").steps[-1] == Step("softmax", "Sin mine")


def test_a_node_is_called_by_its_domain_operator_and_name() -> None:
    assert node("Relu", X).label == "Relu mine"
    assert node("ai.onnx.Relu", X).operator == "Relu"
    assert node("com.microsoft.Gelu", X).label == "com.microsoft.Gelu mine"
    nameless = ir.node("Relu", [ir.val("x")], outputs=[ir.val("output")])
    assert NodeContext(nameless, [X], 21).label == "Relu output"
    assert node("Add", 1.0, X).x is X


def test_an_optional_input_may_be_absent_and_none_may_depend_on_the_images() -> None:
    at = node("Conv", X, np.ones(2), None)
    found = at.constant(1)
    assert found is not None
    assert found.array.tolist() == [1.0, 1.0]
    assert at.constant(2) is at.constant(3) is None
    assert at.required(1) is found
    for index in (2, 3):
        with pytest.raises(Untraceable, match="lacks an input"):
            at.required(index)
    with pytest.raises(Untraceable, match="has weights or sizes that are computed from the imag"):
        at.constant(0)


def test_a_node_is_evaluated_by_the_models_opset() -> None:
    assert node("Add", [1, 2], [3]).evaluate().tolist() == [4, 5]
    assert node("Clip", [1, 9], None, [5]).evaluate().tolist() == [1, 5]
    # Axes were an attribute once.
    assert node("Squeeze", [[1], [2]], axes=[1], opset=11).evaluate().tolist() == [1, 2]
    largest = np.full(1, np.finfo(np.float32).max)
    assert node("Add", largest, largest).evaluate().tolist() == [np.inf]
    assert np.isnan(node("Div", np.zeros(1), np.zeros(1)).evaluate()).all()
    with pytest.raises(Untraceable, match=r"cannot be computed \("):
        node("Add", [1, 2], [1, 2, 3]).evaluate()


def test_a_layer_without_a_bias_has_zeros() -> None:
    weight = Constant(np.ones((4, 2)), "w")
    bare, full = Step("dense layer", "d", weight), Step("dense layer", "d", weight, weight)
    found = with_bias(bare).bias
    assert found is not None
    assert (found.name, found.array.tolist(), str(found.array.dtype)) == ("", [0.0] * 4, "float32")
    assert with_bias(full) is full
    relu = Step("ReLU", "r")
    assert with_bias(relu) is relu
