"""`vgg16 check` names what was changed in an exported network: one planted mistake at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import pytest

from export import export_onnx
from mistakes.in_onnx import Edit, append, change_weight, node_of, remove
from onnx_arbiter.limits import LIMITS
from parity_tests.vgg16_parity.onnx_check.test_check import check, wrong_weights
from vgg16_parity.onnx_check.check import CheckReport, lines
from vgg16_spec import layouts
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate, seeded_checkpoint
from vgg16_spec.errors import BadInput

# An edit of the exported network -> the report of the edited file.
Planted: TypeAlias = Callable[[Edit], CheckReport]


@pytest.fixture(scope="module")
def exported(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx("keras", tiny, tmp_path_factory.mktemp("own") / "model.onnx")


@pytest.fixture
def planted(exported: Path, tiny: Checkpoint, tmp_path: Path) -> Planted:
    """Edit the exported network and check it."""

    def edited(edit: Edit) -> CheckReport:
        model = onnx.load(exported)
        edit(model)
        onnx.save(model, tmp_path / "edited.onnx")
        return check(tmp_path / "edited.onnx", tiny)

    return edited


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


@mistake("Conv block2_conv1: no bias, where block2_conv1 has one")
def a_bias_is_missing(model: onnx.ModelProto) -> None:
    del node_of(model, "block2_conv1").input[2]


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


@mistake("Conv block1_conv1: works along (N, C, W, H), expected (N, C, H, W)")
def height_and_width_are_exchanged(model: onnx.ModelProto) -> None:
    turn = onnx.helper.make_node("Transpose", ["images"], ["turned"], "turn", perm=[0, 1, 3, 2])
    node_of(model, "block1_conv1").input[0] = "turned"
    model.graph.node.insert(0, turn)


@mistake("Add shortcut: joins two paths, where the network has one")
def there_is_a_shortcut(model: onnx.ModelProto) -> None:
    after = node_of(model, "block1_pool")
    shortcut = onnx.helper.make_node("Add", ["block1_conv1", "block1_conv2"], ["sum"], "shortcut")
    model.graph.node.insert(list(model.graph.node).index(after), shortcut)
    after.input[0] = "sum"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_graph_that_differs_is_named_where_it_does(name: str, planted: Planted) -> None:
    edit, problem = MISTAKES[name]
    report = planted(edit)
    assert report.graph.problems[0] == problem
    assert not report.matches
    assert not report.numbers.passed or name == "a_relu_is_too_many"


def test_the_weights_are_compared_past_a_difference_of_the_graph(planted: Planted) -> None:
    report = planted(a_relu_is_missing)
    assert wrong_weights(report) == {}
    verdict = report.numbers.verdict
    assert verdict is not None
    assert verdict.ratio > 100 * LIMITS.ratio.limit


def test_a_softmax_is_fine_and_the_images_shape_may_stay_open(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        append(model, onnx.helper.make_node("Softmax", ["logits"], ["s1"], "s1"))
        for size in model.graph.input[0].type.tensor_type.shape.dim:
            size.Clear()

    report = planted(edit)
    assert (report.graph.layout, report.graph.output) == ("nchw", "probabilities")
    assert report.matches, lines(report)


def swap_classes(values: np.ndarray) -> np.ndarray:
    values[[3, 700]] = values[[700, 3]]
    return values


def off_by_a_thousandth(values: np.ndarray) -> np.ndarray:
    values[5] += np.float32(1e-3)
    return values


def hwc(weight: np.ndarray) -> np.ndarray:
    return layouts.canonical_to_keras("fc1.weight", weight, (12, 2, 2)).T


WEIGHTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "classes": ("predictions.weight", swap_classes, "two output classes swapped: 3 and 700"),
    "height and width": (
        "block3_conv2.weight",
        lambda a: a.swapaxes(2, 3),
        "kernels transposed in height and width",
    ),
    "in and out": (
        "block3_conv2.weight",
        lambda a: a.swapaxes(0, 1),
        "inputs and outputs swapped",
    ),
    "half a turn": (
        "block3_conv2.weight",
        lambda a: a[:, :, ::-1, ::-1],
        "kernels rotated by half a turn",
    ),
    "dense in and out": ("fc2.weight", lambda a: a.T, "inputs and outputs swapped"),
    "HWC": ("fc1.weight", hwc, "fc1's inputs in HWC order where the graph flattens CHW"),
    "BGR": ("block1_conv1.weight", lambda a: a[:, ::-1], "input channels reversed (BGR for RGB)"),
    "bias": ("block2_conv1.bias", off_by_a_thousandth, "1 of 6 values differ, by up to 1.0e-03"),
    "float16": (
        "block4_conv1.weight",
        lambda a: a.astype(np.float16).astype(np.float32),
        "stored with the precision of float16",
    ),
    "NaN": (
        "block4_conv1.bias",
        lambda a: np.full_like(a, np.nan),
        "12 of 12 values differ, by up to inf",
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_differ_are_told_how(kind: str, planted: Planted) -> None:
    name, change, problem = WEIGHTS[kind]
    report = planted(change_weight(name, change))
    assert report.graph.passed
    assert wrong_weights(report) == {name: problem}
    assert not report.matches
    assert f"weights: {name} ({name}): {problem}" in lines(report)
    # One value of float16 precision, or two classes in each other's place, is far above rounding.
    assert not report.numbers.passed


def test_layers_in_each_others_place_are_told(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        first, second = (node_of(model, f"block5_conv{i}") for i in (1, 3))
        first.input[1], second.input[1] = second.input[1], first.input[1]

    assert wrong_weights(planted(edit)) == {
        "block5_conv1.weight": "has the values of block5_conv3.weight",
        "block5_conv3.weight": "has the values of block5_conv1.weight",
    }


def test_weights_of_float16_with_a_cast_are_told(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        change_weight("fc2.weight", lambda a: a.astype(np.float16))(model)
        cast = onnx.helper.make_node("Cast", ["fc2.weight"], ["wide"], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        node_of(model, "fc2").input[1] = "wide"

    report = planted(edit)
    assert report.graph.passed
    assert wrong_weights(report) == {"fc2.weight": "stored with the precision of float16"}


def test_dense_weights_may_be_either_way_round(planted: Planted, tiny: Checkpoint) -> None:
    def edit(model: onnx.ModelProto) -> None:
        change_weight("fc1.weight", lambda a: a.T)(model)
        (flag,) = node_of(model, "fc1").attribute
        flag.i = 0

    assert planted(edit).matches


def test_convolutions_in_place_of_the_dense_layers_match(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        remove(model, "flatten")
        for name, size in (("fc1", 2), ("fc2", 1), ("predictions", 1)):
            node = node_of(model, name)
            node.op_type = "Conv"
            del node.attribute[:]
            shape = (-1, 12 if name == "fc1" else 32, size, size)
            change_weight(f"{name}.weight", partial(np.reshape, shape=shape))(model)
        del model.graph.value_info[:]
        node_of(model, "predictions").output[0] = "maps"
        model.graph.node.append(onnx.helper.make_node("Flatten", ["maps"], ["logits"]))

    report = planted(edit)
    assert report.matches, lines(report)


def test_another_checkpoint_differs_in_every_tensor(exported: Path) -> None:
    report = check(exported, seeded_checkpoint("tiny", 1))
    assert report.graph.passed
    assert len(wrong_weights(report)) == 32
    assert all("values differ, by up to" in problem for problem in wrong_weights(report).values())
    assert not report.numbers.passed


def test_another_number_of_classes_is_told(exported: Path) -> None:
    report = check(exported, generate(configuration("tiny", classes=10)))
    assert report.graph.problems == ("Gemm predictions: 1000 classes, expected 10 (predictions)",)
    assert report.numbers.reason == "its shape is (2, 1000), the arbiter's is (2, 10)"


def test_another_configuration_is_told(exported: Path) -> None:
    narrow = replace(configuration("A", classes=10), hidden_units=32, input_size=96)
    report = check(exported, generate(narrow))
    assert report.graph.problems[0] == "the images are (any, 3, 64, 64), expected (any, 3, 96, 96)"
    assert "Conv block1_conv1: 4 outputs, expected 64 (block1_conv1)" in report.graph.problems
    assert report.numbers.verdict is None
    assert report.numbers.reason.startswith("ONNX Runtime does not run it (")


def test_a_checkpoint_without_its_classifier_is_refused(exported: Path, tiny: Checkpoint) -> None:
    with pytest.raises(BadInput, match="has no classifier"):
        check(exported, tiny.without_top())
