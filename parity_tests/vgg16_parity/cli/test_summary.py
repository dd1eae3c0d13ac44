"""What each framework says of the layers is what the architecture says, in its own layout."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec

import pytest

import export.layer_summary
import keras_impl.layer_summary
import torch_impl.layer_summary
from parity_tests.support.helpers import Command
from vgg16_parity.cli.commands.summary import chosen
from vgg16_parity.runtimes import requirements
from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Shape, configuration
from vgg16_spec.layer_summary import LayerSummary
from vgg16_spec.layouts import keras_shape
from vgg16_spec.names import names

every = pytest.mark.parametrize("name", CONFIGURATIONS)


def last(shape: Shape) -> Shape:
    """(C, H, W) -> (H, W, C)"""
    return (*shape[1:], shape[0])


def agrees(
    network: Configuration, described: list[LayerSummary], *, channels_last: bool = False
) -> None:
    """Whether order, output shapes, weights' shapes and parameters are the architecture's."""
    assert [layer.layer for layer in described] == [layer.name for layer in network.layers]
    shapes, weights = network.output_shapes(), network.weight_shapes
    for layer in described:
        shape = shapes[layer.layer]
        assert layer.output == (None, *(last(shape) if channels_last else shape)), layer.layer
        expected = [weights[k] for k in weights if k.rpartition(".")[0] == layer.layer]
        given = list(layer.weights.values())
        assert given == ([keras_shape(s) for s in expected] if channels_last else expected)
        assert layer.parameters == network.parameters(layer.layer)
        assert layer.parameters == sum(map(math.prod, expected))
    assert sum(layer.parameters for layer in described) == network.parameters()


@every
def test_keras_s_layers_are_the_architecture_s(name: str) -> None:
    network = configuration(name)
    described = keras_impl.layer_summary.describe(network)
    agrees(network, described, channels_last=True)
    table = names(network)
    for layer in described:
        assert layer.name == (table[layer.layer].keras if layer.layer in table else layer.layer)
    kinds = {layer.layer: layer.kind for layer in described}
    assert kinds["block1_conv1"] == "Conv2D (relu)"
    assert kinds["block1_pool"] == "MaxPooling2D"
    assert kinds["flatten"] == "Flatten"
    assert kinds["predictions"] == "Dense (softmax)"


@every
def test_pytorch_s_layers_are_the_architecture_s(name: str) -> None:
    network = configuration(name)
    described = torch_impl.layer_summary.describe(network)
    agrees(network, described)
    table = names(network)
    for layer in described:
        if layer.layer in table:
            key = table[layer.layer].torchvision
            assert layer.name == key
            assert list(layer.weights) == [f"{key}.weight", f"{key}.bias"]
    found = {layer.layer: (layer.name, layer.kind) for layer in described}
    last_convolution = found["block1_conv2" if name != "A" else "block1_conv1"][0]
    pool = int(last_convolution.rpartition(".")[2]) + 2
    assert found["block1_pool"] == (f"features.{pool}", "MaxPool2d")
    assert found["block1_conv1"] == ("features.0", "Conv2d + ReLU")
    assert found["predictions"] == ("classifier.6", "Linear")


@pytest.mark.parametrize("name", ["tiny", "A", "C", "D", "E"])
def test_onnx_s_layers_are_the_architecture_s(name: str) -> None:
    network = configuration(name)
    described = export.layer_summary.describe(network, "torch")
    agrees(network, described)
    for layer in described:
        assert layer.name == layer.layer
        if layer.weights:
            assert list(layer.weights) == [f"{layer.layer}.weight", f"{layer.layer}.bias"]
    kinds = {layer.layer: layer.kind for layer in described}
    assert kinds["block1_conv1"] == "Conv + Relu"
    assert kinds["block5_pool"] == "MaxPool"
    assert kinds["flatten"] == "Flatten"
    assert kinds["fc2"] == "Gemm + Relu"
    assert kinds["predictions"] == "Gemm"


def test_onnx_says_the_same_whichever_framework_traced_it() -> None:
    network = configuration("tiny")
    from_keras = export.layer_summary.describe(network, "keras")
    assert from_keras == export.layer_summary.describe(network, "torch")


def test_one_framework_is_one_table(vgg16: Command) -> None:
    done = vgg16("summary", "--framework", "torch")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[1].split() == ["layer", "torch", "kind", "output", "weights", "parameters"]
    fc1 = next(line for line in lines if line.startswith("fc1"))
    assert fc1.split() == [
        *("fc1", "classifier.0", "Linear", "+", "ReLU", "N×4096"),
        *("4096×25088,", "4096", "102,764,544"),
    ]
    assert lines[-1].split() == ["total", "138,357,544"]


def test_all_stand_side_by_side_with_the_names_correspondence(vgg16: Command) -> None:
    done = vgg16("summary", "--framework", "all", "--configuration", "tiny")
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["names", "keras", "torch", "onnx"] in rows
    assert ["block5_conv3", "block5_conv3", "features.28", "block5_conv3"] in rows
    assert ["outputs", "keras", "torch", "onnx"] in rows
    assert ["block2_pool", "N×16×16×6", "N×6×16×16", "N×6×16×16"] in rows
    assert ["block1_conv1", "3×3×3×4,", "4", "4×3×3×3,", "4", "4×3×3×3,", "4"] in rows
    assert ["total", "45,460", "45,460", "45,460"] in rows
    assert done.out.splitlines()[-1] == (
        "fc1 reads rows, columns, channels in this order in Keras; channels first elsewhere."
    )


def test_json_has_every_layer_by_canonical_name_and_framework(vgg16: Command) -> None:
    frameworks = ["--framework", "torch", "--framework", "keras"]
    done = vgg16("summary", *frameworks, "--configuration", "tiny", "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert document["parameters"] == 45_460
    network = configuration("tiny")
    assert [layer["name"] for layer in document["layers"]] == [x.name for x in network.layers]
    assert set(document["layers"][0]) == {"name", "keras", "torch"}
    assert document["layers"][0]["torch"] == {
        "name": "features.0",
        "kind": "Conv2d + ReLU",
        "output_shape": [None, 4, 64, 64],
        "weights": {"features.0.weight": [4, 3, 3, 3], "features.0.bias": [4]},
        "parameters": 112,
    }
    assert document["layers"][0]["keras"]["weights"] == {
        "block1_conv1/kernel": [3, 3, 3, 4],
        "block1_conv1/bias": [4],
    }


def test_without_a_framework_it_is_the_architecture_s_table(vgg16: Command) -> None:
    assert vgg16("summary").out.splitlines()[1].split() == [
        *("layer", "torchvision", "output", "parameters", "multiply-adds")
    ]


def test_each_framework_is_shown_once_in_one_order() -> None:
    assert chosen(["onnx", "keras", "onnx"]) == ("keras", "onnx")
    assert chosen(["all", "torch"]) == ("keras", "torch", "onnx")


def test_an_unknown_framework_is_one_line(vgg16: Command) -> None:
    done = vgg16("summary", "--framework", "caffe")
    assert done.status == 2
    assert done.err == (
        "vgg16: --framework: 'caffe' is unknown; expected one of keras, torch, onnx, all\n"
    )


@pytest.mark.parametrize(
    ("absent", "framework", "message"),
    [
        (("torch",), "torch", 'torch is not installed: pip install "vgg16-parity[torch]"'),
        (
            ("tensorflow", "jax", "torch"),
            "keras",
            'tensorflow is not installed: pip install "vgg16-parity[keras]"',
        ),
        (("onnx_ir",), "onnx", 'onnx_ir is not installed: pip install "vgg16-parity[torch]"'),
    ],
)
def test_a_framework_that_is_missing_is_one_line(
    absent: tuple[str, ...],
    framework: str,
    message: str,
    vgg16: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda n: None if n in absent else find_spec(n))
    done = vgg16("summary", "--framework", framework)
    assert done.status == 2
    assert done.err == f"vgg16: --framework {framework}: {message}\n"
    assert done.out == ""
