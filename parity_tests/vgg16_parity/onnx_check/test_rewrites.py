"""A graph that computes the same by other operators is the same network; a near miss is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mistakes.in_onnx import Edit, node_of
from parity_tests.support.graphs.checked import Planted, check, without_biases
from vgg16_parity.onnx_check.text import lines
from vgg16_spec.checkpoint import Checkpoint


def constant(model: onnx.ModelProto, name: str, values: Any, kind: type = np.float32) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))
    return name


def replace_node(model: onnx.ModelProto, name: str, *made: onnx.NodeProto) -> None:
    """Other nodes in a node's place: the first reads its input, the last gives its output."""
    node = node_of(model, name)
    index = list(model.graph.node).index(node)
    made[0].input[0], made[-1].output[0] = node.input[0], node.output[0]
    model.graph.node.remove(node)
    for other in reversed(made):
        model.graph.node.insert(index, other)


def relu_as(operator: str, *constants: Any, **attributes: Any) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        names = ["x", *(constant(model, f"c{i}", value) for i, value in enumerate(constants))]
        node = helper.make_node(operator, names, ["y"], "mine", **attributes)
        replace_node(model, "block2_conv1_relu", node)

    return edit


def padded(amounts: Sequence[int], value: float, before: str = "block2_conv2") -> Edit:
    """A convolution's zeros by a node of their own."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_of(model, before)
        inputs = [node.input[0], constant(model, "by", amounts, np.int64)]
        pad = helper.make_node("Pad", [*inputs, constant(model, "of", value)], ["wide"], "pad")
        model.graph.node.insert(list(model.graph.node).index(node), pad)
        node.input[0] = "wide"
        for entry in node.attribute:
            if entry.name == "pads":
                entry.ints[:] = [0] * 4

    return edit


def padded_with_edges(model: onnx.ModelProto) -> None:
    """A convolution's maps continued by their outermost values."""
    padded([0, 0, 1, 1, 0, 0, 1, 1], 0)(model)
    node_of(model, "pad").attribute.append(helper.make_attribute("mode", "edge"))


def between(operator: str, value: Any) -> Edit:
    """An elementwise operation between two layers."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_of(model, "fc2")
        inputs = [node.input[0], constant(model, "value", value)]
        made = helper.make_node(operator, inputs, ["between"], "mine")
        model.graph.node.insert(list(model.graph.node).index(node), made)
        node.input[0] = "between"

    return edit


def pool_before_relu(operator: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        relu, pool = node_of(model, "block1_conv2_relu"), node_of(model, "block1_pool")
        pool.op_type = operator
        pool.input[0], relu.input[0] = relu.input[0], pool.output[0]
        for node in model.graph.node:
            if node not in (relu, pool):
                node.input[:] = [relu.output[0] if i == pool.output[0] else i for i in node.input]
        nodes = list(model.graph.node)
        first, second = nodes.index(relu), nodes.index(pool)
        nodes[first], nodes[second] = nodes[second], nodes[first]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return edit


def relu_again(model: onnx.ModelProto) -> None:
    node = node_of(model, "block2_conv1")
    again = helper.make_node("Relu", [node.input[0]], ["again"], "again")
    model.graph.node.insert(list(model.graph.node).index(node), again)
    node.input[0] = "again"


def bias_added(model: onnx.ModelProto) -> None:
    """A convolution with a bias of zeros, and its own bias behind it."""
    node = node_of(model, "block3_conv1")
    bias = next(t for t in model.graph.initializer if t.name == node.input[2])
    values = numpy_helper.to_array(bias).reshape(1, -1, 1, 1)
    added = constant(model, "added", values)
    node.input[2] = constant(model, "zeros", np.zeros(values.size))
    add = helper.make_node("Add", ["narrow", added], [node.output[0]], "add")
    node.output[0] = "narrow"
    model.graph.node.insert(list(model.graph.node).index(node) + 1, add)


def einsum(equation: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        node = node_of(model, "fc2")
        weight, bias, result = node.input[1], node.input[2], node.output[0]
        sums = helper.make_node("Einsum", ["x", weight], ["sums"], "sums", equation=equation)
        replace_node(model, "fc2", sums, helper.make_node("Add", ["sums", bias], [result], "add"))
        model.graph.node[[n.name for n in model.graph.node].index("add")].input[0] = "sums"

    return edit


def second_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("best", onnx.TensorProto.INT64, ["N"]))


LARGEST = float(np.finfo(np.float32).max)
SAME: dict[str, Edit] = {
    "Clip from 0": relu_as("Clip", 0),
    "Clip from 0 to the largest": relu_as("Clip", 0, LARGEST),
    "Max with 0": relu_as("Max", 0),
    "LeakyRelu of slope 0": relu_as("LeakyRelu", alpha=0.0),
    "padding by a node": padded([0, 0, 1, 1, 0, 0, 1, 1], 0),
    "padding by 0 before pooling": padded([0] * 8, 0, "block2_pool"),
    "pooling before the ReLU": pool_before_relu("MaxPool"),
    "a ReLU twice": relu_again,
    "times 1": between("Mul", 1),
    "divided by 1": between("Div", [[1.0] * 32]),
    "minus 0": between("Sub", 0),
    "a bias of zeros and another": bias_added,
    "Einsum": einsum("bi,oi->bo"),
    "the class beside the logits": second_output,
}


@pytest.mark.parametrize("kind", SAME)
def test_a_rewritten_graph_is_the_same_network(kind: str, planted: Planted) -> None:
    report = planted(SAME[kind])
    assert report.matches, list(lines(report))


OTHER: dict[str, tuple[Edit, str]] = {
    "Clip to 6": (relu_as("Clip", 0, 6), "Clip mine: an operation that the network has none like"),
    "Clip from -1": (relu_as("Clip", -1), "Clip mine: an operation that the network has none"),
    "Max with 1": (relu_as("Max", 1), "Max mine: an operation that the network has none like"),
    "LeakyRelu": (relu_as("LeakyRelu"), "LeakyRelu mine: an operation that the network has none"),
    "padding too wide": (
        padded([0, 0, 2, 1, 0, 0, 0, 1], 0),
        "Conv block2_conv2: pads 2, 1, 0, 1, expected 1, 1, 1, 1 (block2_conv2)",
    ),
    "padding of edges": (padded_with_edges, "Pad pad: an operation that the network has none"),
    "padding of ones": (padded([0, 0, 1, 1, 0, 0, 1, 1], 1), "Pad pad: an operation that the netw"),
    "padding of channels": (padded([0, 0, 0, 1, 0, 1, 1, 1], 0), "Pad pad: an operation that the"),
    "padding before pooling": (
        padded([0, 0, 1, 1, 0, 0, 1, 1], 0, "block2_pool"),
        "Pad pad: an operation that the network has none like, where block2_pool's",
    ),
    "average pooling before the ReLU": (
        pool_before_relu("AveragePool"),
        "AveragePool block1_pool: average pooling where block1_conv2's ReLU was expected",
    ),
    "times 2": (between("Mul", 2), "Mul mine: an operation that the network has none like"),
    "1 divided by it": (between("Sub", 1), "Sub mine: an operation that the network has none like"),
    "Einsum the other way": (einsum("bi,io->bo"), ""),
}


@pytest.mark.parametrize("kind", OTHER)
def test_a_near_miss_is_another_network(kind: str, planted: Planted) -> None:
    edit, problem = OTHER[kind]
    report = planted(edit)
    assert not report.matches
    assert any(found.startswith(problem) for found in report.graph.problems) == bool(problem)


def test_dropout_in_training_mode_says_how_to_export(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        inputs = [constant(model, "half", 0.5), constant(model, "training", True, np.bool_)]
        replace_node(
            model,
            "fc2_relu",
            helper.make_node("Relu", ["x"], ["all"], "fc2_relu"),
            helper.make_node("Dropout", ["all", *inputs], ["y"], "drop"),
        )
        node_of(model, "drop").input[0] = "all"

    report = planted(edit)
    problem = "Dropout drop: is in training mode: export the model in evaluation mode"
    assert report.graph.problems == (problem,)


def optimise(path: Path, level: str) -> Path:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(path.with_name(f"{level}.onnx"))
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Path(options.optimized_model_filepath)


def test_what_onnx_runtime_fuses_is_the_same_network(
    exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes())
    fused = optimise(path, "ORT_ENABLE_EXTENDED")
    nodes = onnx.load(fused).graph.node
    assert {"FusedConv", "FusedGemm"} <= {node.op_type for node in nodes}
    assert check(fused, tiny).matches
    model = onnx.load(fused)
    node = next(node for node in model.graph.node if node.op_type == "FusedConv")
    (activation,) = (entry for entry in node.attribute if entry.name == "activation")
    activation.s = b"Tanh"
    onnx.save(model, fused)
    assert "has the activation Tanh in it" in check(fused, tiny).graph.problems[-1]


def test_a_layout_for_one_processor_is_named(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        node_of(model, "block1_conv1").domain = "com.microsoft.nchwc"
        model.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))

    (problem,) = planted(edit).graph.problems[-1:]
    assert problem.startswith(
        "com.microsoft.nchwc.Conv block1_conv1: ONNX Runtime's layout for one"
    )


@pytest.mark.parametrize("first", ["block", "fc", ""], ids=["convolutions", "dense", "all"])
def test_biases_of_zero_may_be_absent(
    first: str, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    model = onnx.load(exported)
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.name.startswith(first):
            del node.input[2]
    onnx.save(model, tmp_path / "model.onnx")
    report = check(tmp_path / "model.onnx", without_biases(tiny, first))
    assert report.matches, list(lines(report))
    assert not check(tmp_path / "model.onnx", tiny).matches
