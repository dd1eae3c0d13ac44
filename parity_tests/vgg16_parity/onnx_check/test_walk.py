"""The walk follows the network, whichever exporter wrote the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import export_onnx
from export.options import ImageLayout
from mistakes.in_onnx import append, change_weight, node_of, remove
from parity_tests.support.graphs.checked import (
    Planted,
    check,
    without_biases,
    wrong_weights,
)
from parity_tests.support.graphs.foreign import from_keras, from_torch, from_torchvision
from parity_tests.support.helpers import same
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_parity.onnx_check.text import lines
from vgg16_spec.checkpoint import Checkpoint


@pytest.fixture(scope="module", autouse=True)
def keras_on_torch(
    tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Keras's own export on its PyTorch backend, in a process that runs while other tests do."""
    path = tmp_path_factory.mktemp("keras-torch") / "model.onnx"
    code = (
        "import sys, numpy, keras_impl\n"
        "from vgg16_spec.checkpoint import open_checkpoint\n"
        "model = keras_impl.functional('tiny', kernel_initializer='zeros')\n"
        "keras_impl.load_checkpoint(model, open_checkpoint(sys.argv[1]))\n"
        "model(numpy.zeros((1, 64, 64, 3), numpy.float32))\n"
        "model.export(sys.argv[2], format='onnx', verbose=False)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tiny.file), str(path)],
        env=os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield path, process
    process.kill()
    process.communicate()


OWN: dict[str, tuple[dict[str, Any], str]] = {
    "nchw": ({}, "NCHW, logits"),
    "nhwc": ({"layout": "nhwc"}, "NHWC, logits"),
    "probabilities": ({"output": "probabilities"}, "NCHW, probabilities"),
    "pixels": ({"input": "uint8"}, "NHWC, logits, preprocessing inside"),
    "pictures": (
        {"input": "uint8", "resize": True},
        "NHWC, logits, preprocessing, resize inside",
    ),
    "taps": ({"taps": True, "output": "probabilities"}, "NCHW, probabilities"),
    "batch": ({"batch": 3}, "NCHW, logits"),
    "old opset": ({"opset": 13}, "NCHW, logits"),
}


@pytest.mark.parametrize("kind", OWN)
def test_our_own_exports_match(kind: str, tiny: Checkpoint, tmp_path: Path) -> None:
    options, words = OWN[kind]
    report = check(export_onnx("keras", tiny, tmp_path / "model.onnx", **options), tiny)
    assert list(lines(report))[:2] == [
        f"graph: as the checkpoint's network ({words})",
        "weights: 32 of 32 equal",
    ]
    assert report.matches, list(lines(report))
    assert report.numbers.verdict is not None


def test_a_bundle_and_a_file_beside_its_checkpoint_match(tiny: Checkpoint, tmp_path: Path) -> None:
    bundle = export_onnx("keras", tiny, tmp_path / "bundle", test_data=False)
    assert check(bundle, tiny).matches
    assert check(bundle.parent / "1" / bundle.name, tiny).matches


def test_the_caffe_recipe_inside_the_graph_matches(tiny: Checkpoint, tmp_path: Path) -> None:
    caffe = tiny.with_recipe("caffe")
    path = export_onnx("keras", caffe, tmp_path / "model.onnx", input="uint8")
    assert check(path, caffe).matches
    report = check(path, tiny)
    problem = "preprocessing: not that of the recipe torchvision, which the weights expect"
    assert report.graph.problems == (problem,)
    assert not report.numbers.passed
    assert not report.matches


FOREIGN: dict[str, tuple[Callable[[Checkpoint, Path], None], str]] = {
    "torchvision": (from_torchvision, "NCHW, logits"),
    "pytorch": (lambda c, path: from_torch(c, path, dynamo=True), "NCHW, logits"),
    "torchscript": (lambda c, path: from_torch(c, path, dynamo=False), "NCHW, logits"),
    "tf2onnx": (from_keras, "NHWC, probabilities"),
    "tf2onnx logits": (lambda c, p: from_keras(c, p, classifier_activation=None), "NHWC, logits"),
}


@pytest.mark.parametrize("exporter", FOREIGN)
def test_other_exporters_files_match(exporter: str, tiny: Checkpoint, tmp_path: Path) -> None:
    export, words = FOREIGN[exporter]
    export(tiny, tmp_path / "model.onnx")
    report = check(tmp_path / "model.onnx", tiny)
    assert next(lines(report)) == f"graph: as the checkpoint's network ({words})"
    assert report.matches, list(lines(report))
    read = checkpoint_of_onnx(tmp_path / "model.onnx")
    assert same(read, tiny)
    assert read.metadata.recipe == ("caffe" if words.startswith("NHWC") else "torchvision")


def test_a_fresh_torchvision_network_matches_without_the_biases_that_are_zero(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    fresh = without_biases(tiny)
    from_torchvision(fresh, tmp_path / "model.onnx")
    layers = [n for n in onnx.load(tmp_path / "model.onnx").graph.node if n.op_type == "Conv"]
    assert {len(layer.input) for layer in layers} == {2}  # the exporter leaves them out
    report = check(tmp_path / "model.onnx", fresh)
    assert report.matches, list(lines(report))
    assert not check(tmp_path / "model.onnx", tiny).matches


def test_keras_on_torch_matches_and_its_fc1_order_is_known(
    keras_on_torch: tuple[Path, subprocess.Popen[str]], tiny: Checkpoint
) -> None:
    path, process = keras_on_torch
    _, err = process.communicate()
    assert process.returncode == 0, err
    report = check(path, tiny)
    assert next(lines(report)) == "graph: as the checkpoint's network (NHWC, probabilities)"
    assert report.matches, list(lines(report))
    assert same(checkpoint_of_onnx(path), tiny)
    model = onnx.load(path)
    (fc1,) = (entry for entry in model.graph.initializer if list(entry.dims) == [48, 32])
    values = np.ascontiguousarray(tiny["fc1.weight"].T)
    fc1.CopyFrom(numpy_helper.from_array(values, fc1.name))
    onnx.save(model, path)
    report = check(path, tiny)
    problem = "fc1's inputs in CHW order where the graph flattens HWC"
    assert wrong_weights(report) == {"fc1.weight": problem}
    assert f"weights: fc1.weight ({fc1.name}): {problem}" in list(lines(report))
    assert not report.numbers.passed


def test_a_softmax_is_fine_and_the_images_shape_may_stay_open(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        append(model, onnx.helper.make_node("Softmax", ["logits"], ["s1"], "s1"))
        for size in model.graph.input[0].type.tensor_type.shape.dim:
            size.Clear()

    report = planted(edit)
    assert (report.graph.layout, report.graph.output) == ("nchw", "probabilities")
    assert report.matches, list(lines(report))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_dropout_of_the_images_matters_in_training_mode_only(
    layout: ImageLayout, training: bool, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = export_onnx("keras", tiny, tmp_path / "model.onnx", layout=layout)
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = ["kept" if name == "images" else name for name in node.input]
    for name, value in (("ratio", np.float32(0.5)), ("training", np.bool_(training))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    drop = onnx.helper.make_node("Dropout", ["images", "ratio", "training"], ["kept"], "drop")
    model.graph.node.insert(0, drop)
    onnx.save(model, path)
    report = check(path, tiny)
    problem = "Dropout drop: is in training mode: export the model in evaluation mode"
    assert report.graph.problems == (problem,) * training
    assert report.matches != training


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
    assert report.matches, list(lines(report))


def test_a_negative_size_is_an_open_one(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for size in model.graph.input[0].type.tensor_type.shape.dim:
            size.dim_value = -1

    report = planted(edit)
    assert report.matches, list(lines(report))


def test_maps_that_no_memory_holds_are_reported(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for size in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            size.dim_value = 1_000_000

    report = planted(edit)
    assert "too large to follow" in report.graph.problems[-1]
    assert not report.matches
