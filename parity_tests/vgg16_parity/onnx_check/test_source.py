"""The weights of an ONNX graph are those that it computes with, or the graph is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import vgg16_weights
from export import export_onnx
from mistakes.in_onnx import Edit, append, change_weight, node_of, remove
from parity_tests.support.graphs.checked import PICTURES, READ, Edited
from parity_tests.support.helpers import Command, same
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_parity.own_port import checkpoint_of
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BadInput) as error:
        checkpoint_of_onnx(path, **options)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(error.value.problem) + len(error.value.expected) < 290
    return error.value.problem


def test_weights_beside_the_graph_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    bundle = export_onnx("keras", tiny, tmp_path / "bundle", test_data=False)
    assert same(checkpoint_of_onnx(bundle), tiny)
    beside = write_checkpoint(tiny, tmp_path / "w.safetensors")
    shared = export_onnx("keras", beside, tmp_path / "shared.onnx", weights_file="shared")
    assert same(checkpoint_of_onnx(shared), tiny)


def test_other_classes_and_other_columns_are_recognised(tmp_path: Path) -> None:
    start = generate(configuration("tiny", classes=7), 4)
    path = export_onnx("keras", start, tmp_path / "model.onnx")
    read = checkpoint_of_onnx(path)
    assert read.configuration == start.configuration
    assert same(read, start)


def test_an_open_size_is_the_networks(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        for size in model.graph.input[0].type.tensor_type.shape.dim:
            size.Clear()

    assert same(checkpoint_of_onnx(edited(change)), tiny)


def test_other_names_are_read_and_the_file_is_the_source(edited: Edited, tiny: Checkpoint) -> None:
    """As in the ONNX Model Zoo: ``vgg0_conv0_weight``, ``vgg0_dense0_bias``."""

    def change(model: onnx.ModelProto) -> None:
        weights = [entry.name for entry in model.graph.initializer if entry.name in tiny]
        names = {name: f"vgg0_{number}_weight" for number, name in enumerate(weights)}
        for entry in model.graph.initializer:
            entry.name = names.get(entry.name, entry.name)
        for node in model.graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.name = ""
        model.graph.initializer.sort(key=lambda entry: entry.name, reverse=True)

    path = edited(change)
    read = checkpoint_of_onnx(path)
    assert same(read, tiny)
    assert read.metadata.source == "edited.onnx"
    assert read.metadata.source_format == "onnx"
    assert read.metadata.source_sha256 == digest(path)
    assert read.metadata.recipe == "torchvision"
    assert read.steps[:2] == (READ, "recipe torchvision assumed: NCHW images")


def test_a_layer_without_its_bias_has_zeros(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        for name in ("block3_conv2", "fc2"):
            del node_of(model, name).input[2]

    read = checkpoint_of_onnx(edited(change))
    for name in tiny:
        if name in ("block3_conv2.bias", "fc2.bias"):
            assert not read[name].any()
        else:
            assert np.array_equal(read[name], tiny[name])


def relu_left_out(model: onnx.ModelProto) -> None:
    relus = [node.name for node in model.graph.node if node.op_type == "Relu"]
    remove(model, relus[2])


def strides_of_two(model: onnx.ModelProto) -> None:
    node = node_of(model, "block2_conv1")
    (strides,) = (entry for entry in node.attribute if entry.name == "strides")
    strides.ints[:] = [2, 2]


def sigmoid_at_the_end(model: onnx.ModelProto) -> None:
    append(model, helper.make_node("Sigmoid", ["logits"], ["odds"], "odds"))


def cut_to_whole_numbers(model: onnx.ModelProto) -> None:
    node = node_of(model, "fc2")
    place = list(model.graph.node).index(node)
    whole = helper.make_node("Cast", [node.input[0]], ["whole"], "cut", to=TensorProto.INT32)
    back = helper.make_node("Cast", ["whole"], ["back"], "back", to=TensorProto.FLOAT)
    model.graph.node.insert(place, back)
    model.graph.node.insert(place, whole)
    node.input[0] = "back"


FOREIGN: dict[str, tuple[Edit, str]] = {
    "whole numbers": (cut_to_whole_numbers, "Cast cut: an operation that the network has none"),
    "a missing ReLU": (relu_left_out, "ReLU was expected"),
    "strides": (strides_of_two, "strides 2×2, expected 1×1"),
    "another end": (sigmoid_at_the_end, "Sigmoid odds: an operation that the network has none"),
    "another width": (
        lambda model: change_weight("block1_conv1.weight", lambda a: a[:2])(model),
        "",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_network_is_refused_by_its_node(edited: Edited, kind: str) -> None:
    change, problem = FOREIGN[kind]
    assert problem in refusal(edited(change))


def test_a_quantised_graph_is_called_that(tiny: Checkpoint, tmp_path: Path) -> None:
    path = export_onnx("keras", tiny, tmp_path / "out", precision="int8", calibrate=PICTURES)
    assert refusal(path) == "is quantised: it no longer has the original weights"


def test_the_body_is_read_whatever_the_head_is(edited: Edited, tiny: Checkpoint) -> None:
    def pooled(model: onnx.ModelProto) -> None:
        first = node_of(model, "flatten")
        position = list(model.graph.node).index(first)
        maps = first.input[0]
        del model.graph.node[position:]
        matrix = numpy_helper.from_array(np.ones((12, 5), np.float32), "matrix")
        model.graph.initializer.append(matrix)
        for node in (
            helper.make_node("GlobalAveragePool", [maps], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["logits"], "head"),
        ):
            model.graph.node.append(node)
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5

    path = edited(pooled)
    assert "average pooling where fc1's dense layer was expected" in refusal(path)
    assert same(checkpoint_of_onnx(path, include_top=False), tiny.without_top())


def test_a_graph_of_features_is_read_without_the_classifier(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = export_onnx("keras", tiny.without_top(), tmp_path / "model.onnx", features=True)
    assert "where fc1's dense layer was expected" in refusal(path)
    assert same(checkpoint_of_onnx(path, include_top=False), tiny.without_top())


def test_half_precision_is_passed_on_as_it_is(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        change_weight("fc2.weight", lambda a: a.astype(np.float16))(model)
        cast = helper.make_node("Cast", ["fc2.weight"], ["wide"], to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        node_of(model, "fc2").input[1] = "wide"

    read = checkpoint_of_onnx(edited(change))
    assert np.array_equal(read["fc2.weight"], tiny["fc2.weight"].astype(np.float16))


def test_every_way_to_name_weights_takes_a_graph(
    vgg16: Command, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    done = vgg16("port", exported, tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    assert same(open_checkpoint(tmp_path / "w.safetensors"), tiny)
    assert vgg16("weights", "verify", exported, tiny.file).status == 0
    assert same(checkpoint_of(exported), tiny)
    with pytest.raises(BadInput, match="is an ONNX graph, not a weights file"):
        vgg16_weights.read(exported)


def test_a_damaged_graph_is_refused(vgg16: Command, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(exported.read_bytes()[:5000])
    done = vgg16("port", path, tmp_path / "w.pth")
    assert done.status == 2
    words = "begins as an ONNX model does, but is truncated or damaged"
    assert done.err.splitlines()[-1].startswith(f"vgg16: {path}: {words}")
    assert not (tmp_path / "w.pth").exists()
