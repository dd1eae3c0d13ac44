"""A graph that differs from the network is reported at the node where it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mistakes.in_onnx import Edit, append, node_of, remove, set_attribute
from parity_tests.support.graphs.checked import Planted, check, wrong_weights
from vgg16_parity.onnx_check import running
from vgg16_parity.onnx_check.check import NOT_THE_NETWORK, Numbers
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.seeded import generate

MISTAKES: dict[str, tuple[Edit, str]] = {}


def mistake(problem: str) -> Callable[[Edit], Edit]:
    """An edit, and the graph's problem that it is to be found by."""

    def add(edit: Edit) -> Edit:
        MISTAKES[edit.__name__] = (edit, problem)
        return edit

    return add


@mistake("MaxPool block1_pool: max pooling where block1_conv2's ReLU was expected")
def a_relu_is_missing(model: onnx.ModelProto) -> None:
    remove(model, "block1_conv2_relu")


@mistake("Gemm fc2: a dense layer where fc1's ReLU was expected")
def a_hidden_relu_is_missing(model: onnx.ModelProto) -> None:
    remove(model, "fc1_relu")


@mistake("Relu last: a ReLU where the end of the graph was expected")
def a_relu_is_too_many(model: onnx.ModelProto) -> None:
    append(model, onnx.helper.make_node("Relu", ["logits"], ["last"], "last"))


@mistake("AveragePool block3_pool: average pooling where block3_pool's max pooling was expected")
def pooling_is_of_averages(model: onnx.ModelProto) -> None:
    node_of(model, "block3_pool").op_type = "AveragePool"


def layer_units(model: onnx.ModelProto, bias: str) -> int:
    (found,) = (tensor for tensor in model.graph.initializer if tensor.name == bias)
    return int(found.dims[0])


def set_numbers(model: onnx.ModelProto, node: str, attribute: str, numbers: list[int]) -> None:
    (found,) = (entry for entry in node_of(model, node).attribute if entry.name == attribute)
    found.ints[:] = numbers


@mistake("MaxPool block5_pool: strides 1×1, expected 2×2 (block5_pool)")
def pooling_has_another_stride(model: onnx.ModelProto) -> None:
    set_numbers(model, "block5_pool", "strides", [1, 1])


@mistake("Conv block2_conv1: pads 0, 0, 0, 0, expected 1, 1, 1, 1 (block2_conv1)")
def a_convolution_has_no_padding(model: onnx.ModelProto) -> None:
    set_numbers(model, "block2_conv1", "pads", [0] * 4)


@mistake("Conv block4_conv2: strides 2×2, expected 1×1 (block4_conv2)")
def a_convolution_has_another_stride(model: onnx.ModelProto) -> None:
    set_numbers(model, "block4_conv2", "strides", [2, 2])


@mistake("Conv block5_conv1: says that its kernels are (5, 5), they are (3, 3)")
def a_convolution_contradicts_itself(model: onnx.ModelProto) -> None:
    set_numbers(model, "block5_conv1", "kernel_shape", [5, 5])


@mistake("Conv block3_conv1: has windows of [81, 81] on maps of [16, 16]")
def a_convolution_is_wider_than_its_maps(model: onnx.ModelProto) -> None:
    set_numbers(model, "block3_conv1", "dilations", [40, 40])


@mistake("Conv block3_conv1: has pads of [1, 1, 1, 1] beside SAME_UPPER padding")
def padding_is_stated_twice(model: onnx.ModelProto) -> None:
    set_attribute("block3_conv1", "auto_pad", "SAME_UPPER")(model)


@mistake("Gemm fc1: reads 48 features where 192 come")
def a_pooling_is_missing(model: onnx.ModelProto) -> None:
    remove(model, "block5_pool")


@mistake("the output turned has another axis than the images' first")
def the_output_is_transposed(model: onnx.ModelProto) -> None:
    append(model, onnx.helper.make_node("Transpose", ["logits"], ["turned"], "turn", perm=[1, 0]))


@mistake("the output fixed does not depend on the images")
def the_output_is_a_constant(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones((2, 1000), np.float32))
    append(model, onnx.helper.make_node("Constant", [], ["fixed"], "constant", value=values))


@mistake("Softmax s2: a softmax where the end of the graph was expected")
def softmax_is_taken_twice(model: onnx.ModelProto) -> None:
    make = onnx.helper.make_node
    append(model, make("Softmax", ["logits"], ["s1"], "s1"), make("Softmax", ["s1"], ["s2"], "s2"))


@mistake(
    "Tanh block1_conv1_relu: an operation that the network has none like, "
    "where block1_conv1's ReLU was expected"
)
def another_activation_is_used(model: onnx.ModelProto) -> None:
    node_of(model, "block1_conv1_relu").op_type = "Tanh"


@mistake("preprocessing: height and width are exchanged")
def height_and_width_are_exchanged(model: onnx.ModelProto) -> None:
    turn = onnx.helper.make_node("Transpose", ["images"], ["turned"], "turn", perm=[0, 1, 3, 2])
    node_of(model, "block1_conv1").input[0] = "turned"
    model.graph.node.insert(0, turn)


def reverse_channels(model: onnx.ModelProto, before: str) -> None:
    """Have a node read its input with the channels in the other order."""
    node, make = node_of(model, before), onnx.helper.make_node
    for name, number in (("start", -1), ("end", -(2**62)), ("axis", 1), ("step", -1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
    flip = make("Slice", [node.input[0], "start", "end", "axis", "step"], ["flipped"], "flip")
    model.graph.node.insert(list(model.graph.node).index(node), flip)
    node.input[0] = "flipped"


@mistake("preprocessing: the channels are reversed, expected RGB")
def the_images_channels_are_reversed(model: onnx.ModelProto) -> None:
    reverse_channels(model, "block1_conv1")


@mistake("Slice flip: picks or reorders values, where the network does not")
def channels_are_reversed_between_layers(model: onnx.ModelProto) -> None:
    reverse_channels(model, "block1_conv2")


@mistake("Gemm fc1: reads values in an order that no layer of the network uses")
def values_are_mixed_before_fc1(model: onnx.ModelProto) -> None:
    flatten, make = node_of(model, "flatten"), onnx.helper.make_node
    for name, sizes in (("mixing", [-1, 8, 6]), ("flat", [-1, 48])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
    index = list(model.graph.node).index(flatten)
    mixed = make("Reshape", [flatten.input[0], "mixing"], ["mixed"], "mixed")
    turned = make("Transpose", ["mixed"], ["turned"], "turned", perm=[0, 2, 1])
    last = make("Reshape", ["turned", "flat"], [flatten.output[0]], "last")
    model.graph.node.remove(flatten)
    for node in (last, turned, mixed):
        model.graph.node.insert(index, node)


@mistake("Reshape fixed: cannot be computed (cannot reshape array of size 48 into shape (3,48))")
def a_reshape_is_fixed_to_three_images(model: onnx.ModelProto) -> None:
    flatten = node_of(model, "flatten")
    model.graph.initializer.append(numpy_helper.from_array(np.array([3, 48]), "three"))
    flatten.op_type, flatten.name = "Reshape", "fixed"
    del flatten.attribute[:]
    flatten.input.append("three")


@mistake("Add shortcut: joins two paths, where the network has one")
def there_is_a_shortcut(model: onnx.ModelProto) -> None:
    after = node_of(model, "block1_pool")
    shortcut = onnx.helper.make_node("Add", ["block1_conv1", "block1_conv2"], ["sum"], "shortcut")
    model.graph.node.insert(list(model.graph.node).index(after), shortcut)
    after.input[0] = "sum"


@mistake(
    "Add again: an operation that the network has none like, where block3_conv1's ReLU was expected"
)
def a_bias_is_added_to_one_that_is_partly_zero(model: onnx.ModelProto) -> None:
    layer = node_of(model, "block3_conv1")
    own = np.ones(layer_units(model, layer.input[2]), np.float32)
    added, own[0] = own.reshape(1, -1, 1, 1).copy(), 0
    model.graph.initializer.extend(
        [numpy_helper.from_array(own, "own"), numpy_helper.from_array(added, "added")]
    )
    add = onnx.helper.make_node("Add", ["sums", "added"], [layer.output[0]], "again")
    layer.input[2], layer.output[0] = "own", "sums"
    model.graph.node.insert(list(model.graph.node).index(layer) + 1, add)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_graph_that_differs_is_named_where_it_does_and_is_not_run(
    name: str, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        pytest.fail("it was run")

    monkeypatch.setattr(running, "run", run)
    edit, problem = MISTAKES[name]
    report = planted(edit)
    assert report.graph.problems[0] == problem
    assert not report.matches
    assert report.numbers == Numbers(None, NOT_THE_NETWORK, passed=False)


def test_the_weights_are_compared_past_a_difference_of_the_graph(planted: Planted) -> None:
    assert wrong_weights(planted(a_relu_is_missing)) == {}


@pytest.mark.parametrize(("last", "kind"), [("Softmax", "probabilities"), ("Neg", "logits")])
def test_what_is_not_followed_with_a_softmax_at_its_end_gives_probabilities(
    last: str, kind: str, planted: Planted
) -> None:
    def edit(model: onnx.ModelProto) -> None:
        there_is_a_shortcut(model)
        append(model, onnx.helper.make_node(last, ["logits"], ["last"], "last"))

    report = planted(edit)
    assert report.graph.problems[0].startswith("Add shortcut: joins two paths")
    assert report.graph.output == kind


def test_another_configuration_is_told(exported: Path) -> None:
    column = ("3-5", "3-6", "3-8 3-8", "3-12 3-12", "3-12 3-12")  # A, as narrow as tiny
    narrow = replace(configuration("tiny", classes=10), name="A", column=column, input_size=96)
    report = check(exported, generate(narrow))
    assert report.graph.problems[0] == "the images are (any, 3, 64, 64), expected (any, 3, 96, 96)"
    assert "Conv block1_conv1: outputs 4, expected 5 (block1_conv1)" in report.graph.problems
    assert report.numbers.reason == NOT_THE_NETWORK
