"""``vgg16 summary``: the architecture's table, and the frameworks side by side."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from parity_tests.support.helpers import Command
from vgg16_parity.cli.commands.summary import selected
from vgg16_parity.runtimes import registry
from vgg16_spec.architecture import configuration


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
    assert "fc1" in done.out.splitlines()[-1]  # reads its inputs in another order in Keras


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


def test_summary_is_the_table_of_the_architecture(vgg16: Command) -> None:
    done = vgg16("summary", "--json")
    document = json.loads(done.out)
    assert document["parameters"] == 138_357_544
    assert document["multiply_adds"] == 15_470_264_320
    first = document["layers"][0]
    assert first["name"] == "block1_conv1"
    assert first["output_shape"] == [64, 224, 224]
    plain = vgg16("summary").out.splitlines()
    assert plain[1].split() == ["layer", "torchvision", "output", "parameters", "multiply-adds"]
    assert any(line.split()[:3] == ["block5_conv3", "features.28", "512×14×14"] for line in plain)
    assert plain[-1].split() == ["total", "138,357,544", "15,470,264,320"]


def test_each_framework_is_shown_once_in_one_order() -> None:
    assert selected(["onnx", "keras", "onnx"]) == ("keras", "onnx")
    assert selected(["all", "torch"]) == ("keras", "torch", "onnx")


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
    monkeypatch.setattr(registry, "find_spec", lambda n: None if n in absent else find_spec(n))
    done = vgg16("summary", "--framework", framework)
    assert done.status == 2
    assert done.err == f"vgg16: --framework {framework}: {message}\n"
    assert done.out == ""
