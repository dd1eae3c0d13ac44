"""Ports of Keras models are judged layer by layer, in Keras and in PyTorch, and the other way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import onnx_arbiter.keras as arbiter
from onnx_arbiter.judge.records import Run
from onnx_arbiter.ports import judging, keras_layers, torch_modules
from onnx_arbiter.ports.places import Reference
from parity_tests.support.keras_networks import Twin, images, network, padded
from vgg16_spec.errors import BadInput

keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.slow

LAYERS = ["conv1", "bn1", "relu1", "conv2", "add", "pool", "flatten", "fc", "head"]


@pytest.fixture(scope="module")
def original() -> Reference:
    return keras_layers.reference(network(), images())


@pytest.fixture(scope="module")
def twin() -> Reference:
    """The same network as PyTorch has it."""
    return torch_modules.reference(Twin(network()), images().transpose(0, 3, 1, 2).copy())


def judged(port: Any, original: Reference) -> Run:
    [run] = judging.judge(original, port, name="port").runs
    return run


def guilty(run: Run) -> str:
    assert run.guilty is not None, run.notes
    return run.guilty.node


def test_the_reference_knows_its_layers(original: Reference) -> None:
    assert [place.name for place in original.places] == LAYERS
    assert {node.name for node in original.model.graph} >= {"conv1", "relu1", "add", "fc", "head"}
    assert len(original.model.graph.outputs) == len(original.outputs) == 1
    shapes = {place.name: place.shape for place in original.places}
    assert shapes["conv1"] == (2, 4, 8, 8)
    assert shapes["fc"] == (2, 64)


def test_a_port_of_the_same_names_holds_and_layers_of_one_node_are_judged_alone_too(
    original: Reference,
) -> None:
    run = judged(network(), original)
    assert run.status == "holds", run.guilty
    assert run.notes == ("9 of 9 layers matched by name",)
    assert {row.node for row in run.rows if row.local is not None} >= {"relu1", "pool"}


def test_a_port_of_other_names_is_matched_by_order(original: Reference) -> None:
    run = judged(network(names="my_{}"), original)
    assert run.status == "holds", run.guilty
    assert run.notes == ("9 of 9 layers matched by order, kind and shape",)


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({"epsilon": 1e-5}, "bn1"),
        ({"relu": "linear"}, "conv2"),
        ({"pool": "AveragePooling2D"}, "pool"),
    ],
)
def test_a_mistake_is_named_at_its_layer(
    original: Reference, options: dict[str, Any], layer: str
) -> None:
    assert guilty(judged(network(**options), original)) == layer


def test_a_transposed_weight_is_named(original: Reference) -> None:
    port = network()
    kernel = port.get_layer("fc").kernel
    kernel.assign(np.array(kernel).T)
    assert guilty(judged(port, original)) == "fc"


def test_a_port_in_pytorch_holds_whatever_its_layout_and_names(original: Reference) -> None:
    run = judged(Twin(network()), original)
    assert run.status == "holds", run.guilty
    assert {"conv1", "bn1", "conv2", "pool", "fc", "head"} <= {
        row.node for row in run.rows if row.accumulated is not None
    }


@pytest.mark.parametrize(
    ("options", "layers"), [({"epsilon": 1e-5}, {"bn1"}), ({"relu": False}, {"pool"})]
)
def test_a_mistake_of_a_port_in_pytorch_is_named(
    original: Reference, options: dict[str, Any], layers: set[str]
) -> None:
    assert guilty(judged(Twin(network(), **options), original)) in layers


def test_a_port_of_pytorch_in_keras_holds_whatever_its_layout_and_names(twin: Reference) -> None:
    run = judged(network(), twin)
    assert run.status == "holds", run.guilty
    found = {row.node: row for row in run.rows}
    for layer in ("first", "norm", "act", "shrink", "dense", "classes"):
        assert found[layer].accumulated is not None
    assert found["first"].local is not None
    # Its activation is part of the layer.
    assert found["second"].local is None


@pytest.mark.parametrize(
    ("options", "layer"), [({"epsilon": 1e-5}, "norm"), ({"pool": "AveragePooling2D"}, "dense")]
)
def test_a_mistake_of_a_port_of_pytorch_in_keras_is_named(
    twin: Reference, options: dict[str, Any], layer: str
) -> None:
    assert guilty(judged(network(**options), twin)) == layer


def test_a_kernel_turned_in_a_port_of_pytorch_is_named_alone(twin: Reference) -> None:
    port = network()
    kernel = port.get_layer("conv1").kernel
    kernel.assign(np.array(kernel)[::-1, ::-1])
    run = judged(port, twin)
    assert guilty(run) == "first"
    assert run.guilty is not None
    assert run.guilty.local is not None
    assert not run.guilty.local.passed


def test_a_port_that_pads_in_layers_of_their_own_holds(twin: Reference) -> None:
    run = judged(network(pads=True), twin)
    assert run.status == "holds", run.guilty
    [row] = [row for row in run.rows if row.node == "first"]
    assert row.accumulated is not None
    assert row.local is None
    assert "another shape" in row.why_not_local


def test_a_keras_model_that_is_a_pytorch_module_too_is_run_as_keras_does(
    twin: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Keras's backend PyTorch.
    monkeypatch.setattr(torch_modules, "is_module", lambda _: True)
    assert judged(network(), twin).status == "holds"


def test_models_are_judged_and_asserted_by_the_public_functions() -> None:
    report = arbiter.judge(network(), network(), {"images": images()})
    assert report.holds
    assert report.model == "small"
    with pytest.raises(AssertionError, match=r"^port: broken\. .* bn1: errors are "):
        arbiter.assert_within_rounding(network(epsilon=1e-5), network(), images())


def test_what_cannot_be_exported_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"^inputs: images is missing; expected images$"):
        arbiter.judge(network(), network(), {"pictures": images()})

    own = type("Own", (keras.Model,), {"call": lambda _, x: x})
    with pytest.raises(BadInput, match=r"its layers form no graph; expected a functional model"):
        arbiter.judge(network(), own(), images())
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(BadInput, match=r"^KERAS_BACKEND: .*openvino.* expected one of tensorflow"):
        arbiter.judge(network(), network(), images())


def test_a_model_whose_layers_form_no_graph_is_judged_by_its_outputs(original: Reference) -> None:
    inner = network()
    own = type("Own", (keras.Model,), {"call": lambda _, x: inner(x)})
    run = judged(own(), original)
    assert run.status == "holds", run.guilty
    assert [row.node for row in run.rows] == ["head"]


def test_a_padding_in_a_convolution_and_a_gelu_are_judged() -> None:
    original = keras_layers.reference(padded(), images())
    run = judged(padded(), original)
    assert run.status == "holds", run.guilty
    rows = {row.node: row for row in run.rows}
    # The node pads too, which the layer alone does not.
    assert rows["conv"].accumulated is not None
    assert rows["conv"].local is None
    assert guilty(judged(padded(pads=(0, 1)), original)) == "conv"

    def by_tanh(x: Any) -> Any:
        return keras.activations.gelu(x, approximate=True)

    assert guilty(judged(padded(activation=by_tanh), original)) == "act"


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_reference_is_exported_on_any_backend(backend: str) -> None:
    pytest.importorskip(backend)
    if backend == "jax":
        pytest.importorskip("jax2onnx")
    done = subprocess.run(
        [sys.executable, "-m", "parity_tests.support.keras_references"],
        env=os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["layers"] == LAYERS
    verdicts = {name: tuple(verdict) for name, verdict in found["verdicts"].items()}
    # The pool is the first that follows in PyTorch's names; a padding may be a node of its own.
    paddings = verdicts.pop("another padding")
    assert paddings in {("broken", "conv"), ("broken", "padding")}
    assert verdicts == {
        "the same": ("holds", ""),
        "other names": ("holds", ""),
        "in PyTorch": ("holds", ""),
        "a padding and a GELU": ("holds", ""),
        "epsilon": ("broken", "bn1"),
        "no activation": ("broken", "conv2"),
        "another pool": ("broken", "pool"),
        "epsilon in PyTorch": ("broken", "bn1"),
    }
