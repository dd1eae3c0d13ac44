"""A Keras model's layers are found in its graph and tapped, whatever exports it.

The graph is written by hand here: an export takes seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch  # noqa: F401 - before TensorFlow, which crashes it

from onnx_arbiter.graph import Array
from onnx_arbiter.judge.records import Run
from onnx_arbiter.ports import judging, keras_layers
from onnx_arbiter.ports.places import Reference
from vgg16_spec.errors import BadInput

keras = pytest.importorskip("keras")

IMAGES = np.random.default_rng(0).standard_normal((2, 5, 4, 3), np.float32)
KERNEL = np.random.default_rng(1).standard_normal((1, 1, 3, 6), np.float32)


def network(activation: str = "relu", factor: float = 1.0, names: str = "{}") -> Any:
    """A convolution, its activation in it or not, a ReLU, and a mean behind a dropout."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(IMAGES.shape[1:], name="images"),
            layers.Conv2D(6, 1, use_bias=False, activation=activation, name=names.format("conv")),
            layers.Dropout(0.5, name=names.format("drop")),
            layers.ReLU(name=names.format("act")),
            layers.GlobalAveragePooling2D(name=names.format("mean")),
        ],
        name="small",
    )
    model.set_weights([factor * KERNEL])
    return model


def exported(activation: str = "relu") -> ir.Model:
    """What an exporter makes of it: channels first within, and an output for each layer."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    fused = ["Relu"] if activation == "relu" else []
    before = "r" if fused else "c"
    nodes = [
        helper.make_node("Transpose", ["images"], ["x"], name="t0", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w"], ["c"], name="n0"),
        *(helper.make_node(operator, ["c"], ["r"], name="n1") for operator in fused),
        helper.make_node("Relu", [before], ["a"], name="n2"),
        helper.make_node("ReduceMean", ["a"], ["m"], name="n3", axes=[2, 3], keepdims=0),
        helper.make_node("Identity", ["m"], ["y"], name="i0"),
        helper.make_node("Transpose", [before], ["conv"], name="t1", perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["a"], ["act"], name="t2", perm=[0, 2, 3, 1]),
        helper.make_node("Identity", ["m"], ["mean"], name="i1"),
    ]
    maps, last = (2, 6, 5, 4), (2, 5, 4, 6)
    shapes = {"y": (2, 6), "conv": last, "act": last, "mean": (2, 6)}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", kind, IMAGES.shape)],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()],
        [onnx.numpy_helper.from_array(KERNEL.transpose(3, 2, 0, 1).copy(), "w")],
        value_info=[
            *(helper.make_tensor_value_info(n, kind, maps) for n in ("c", "r", "a") if n != "r"),
            *(helper.make_tensor_value_info("r", kind, maps) for _ in fused),
            helper.make_tensor_value_info("m", kind, (2, 6)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return ir.from_proto(model)


def reference(
    monkeypatch: pytest.MonkeyPatch, activation: str = "relu", inputs: Any = IMAGES
) -> Reference:
    monkeypatch.setattr(keras_layers, "exported_model", lambda *_: exported(activation))
    return keras_layers.reference(network(activation), inputs)


def judged(port: Any, original: Reference) -> Run:
    [run] = judging.judge(original, port, name="port").runs
    return run


@pytest.mark.parametrize("inputs", [IMAGES, [IMAGES], (IMAGES,), {"images": IMAGES}])
def test_layers_are_places_of_the_graph_behind_moves(
    monkeypatch: pytest.MonkeyPatch, inputs: Any
) -> None:
    found = reference(monkeypatch, inputs=inputs)
    assert found.model.graph.name == "small"
    assert found.channels_last
    assert list(found.inputs) == ["images"]
    np.testing.assert_array_equal(found.inputs["images"], IMAGES)
    rows = [(p.name, p.kind, p.before, p.value, p.shape, p.one_node) for p in found.places]
    maps = (2, 6, 5, 4)
    # The convolution and its activation are two nodes.
    assert rows == [
        ("conv", "relu", "conv", "r", maps, False),
        ("act", "relu", "", "a", maps, True),
        ("mean", "average pool", "", "m", (2, 6), True),
    ]
    assert [p.channels_last for p in found.places[:2]] == [False, False]
    assert [p.value for p in found.outputs] == ["m"]
    # What only the layers' outputs needed is gone.
    assert [str(value.name) for value in found.model.graph.outputs] == ["y"]
    names = [str(node.name) for node in found.model.graph]
    assert names == ["t0", "n0", "conv", "act", "mean", "i0"]


def test_a_layer_without_an_activation_is_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reference(monkeypatch, "linear")
    first = found.places[0]
    assert (first.name, first.kind, first.before, first.one_node) == ("conv", "conv", "", True)


@pytest.mark.parametrize("names", ["{}", "my_{}"])
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_a_port_holds_and_its_layers_of_one_node_are_run_alone(
    monkeypatch: pytest.MonkeyPatch, activation: str, names: str
) -> None:
    run = judged(network(activation, names=names), reference(monkeypatch, activation))
    assert run.status == "holds", run.guilty
    how = "by name" if names == "{}" else "by order, kind and shape"
    assert run.notes == (f"3 of 3 layers matched {how}",)
    # Of two axes, the mean's place does not tell the layout of what it reads.
    alone = [row.node for row in run.rows if row.local is not None]
    assert alone == ["conv", "act"][activation == "relu" :]


def test_a_wrong_kernel_is_named_at_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    run = judged(network("linear", factor=1.001), reference(monkeypatch, "linear"))
    assert run.guilty is not None
    assert run.guilty.node == "conv"


def test_a_model_whose_layers_form_no_graph_has_outputs_alone() -> None:
    inner = network()
    own = type("Own", (keras.Model,), {"call": lambda _, x: inner(x)})
    found = keras_layers.computed(own(), [IMAGES])
    assert found.taps == ()
    assert found.channels_last
    [values] = found.outputs
    np.testing.assert_array_equal(values, np.asarray(inner(IMAGES)))
    with pytest.raises(BadInput, match="its layers form no graph; expected a functional model"):
        keras_layers.reference(own(), IMAGES)


def test_taps_are_the_layers_that_compute() -> None:
    model = network()
    found = keras_layers.computed(model, [IMAGES])
    rows = [(tap.name, tap.kind, tap.before, tap.read) for tap in found.taps]
    assert rows == [
        ("conv", "relu", "conv", (None, 5, 4, 3)),
        ("act", "relu", "", (None, 5, 4, 6)),
        ("mean", "average pool", "", (None, 5, 4, 6)),
    ]
    assert [tap.call is None for tap in found.taps] == [True, False, False]
    given: Array = np.full((1, 5, 4, 6), -1, np.float32)
    call = found.taps[1].call
    assert call is not None
    np.testing.assert_array_equal(call(given), np.zeros_like(given))


def test_an_input_that_is_missing_is_named() -> None:
    with pytest.raises(BadInput, match=r"^inputs: images is missing; expected images$"):
        keras_layers.reference(network(), {"pictures": IMAGES})


def test_only_keras_models_are_keras_models() -> None:
    assert keras_layers.is_model(network())
    assert not keras_layers.is_model(network)
    assert not keras_layers.is_model(network().layers[0])
