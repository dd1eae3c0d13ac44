"""A port's layers are compared with the places that they match, and run alone where they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from onnx_arbiter.graph import Array
from onnx_arbiter.judge.records import Row, Run
from onnx_arbiter.ports import judging, keras_layers, tf32
from onnx_arbiter.ports.places import Computed, Place, Reference, Tap
from vgg16_spec.errors import BadInput

# No two axes of the maps have one size, so that no layout is taken for the other.
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 5, 4), np.float32)
WEIGHT = np.random.default_rng(1).standard_normal((6, 3, 1, 1), np.float32)


def reference(*, one_node: bool = True) -> Reference:
    """A convolution, a ReLU and a mean, written by hand: an export would take seconds."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("ReduceMean", ["r"], ["y"], name="mean", axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, IMAGES.shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (2, 6))],
        [onnx.numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    places = [
        Place("conv", "conv", "c", (2, 6, 5, 4), one_node=one_node, before=None),
        Place("relu", "relu", "r", (2, 6, 5, 4), one_node=True, before=None),
    ]
    return Reference(ir.from_proto(model), {"x": IMAGES}, [Place("", "", "y", (2, 6))], places)


class Port(nn.Module):
    """The same in PyTorch."""

    def __init__(self, names: tuple[str, str] = ("conv", "relu"), factor: float = 1.0) -> None:
        super().__init__()
        conv = nn.Conv2d(3, 6, 1, bias=False)
        conv.weight = nn.Parameter(factor * torch.from_numpy(WEIGHT))
        self.names = names
        for name, layer in zip(names, (conv, nn.ReLU()), strict=True):
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def judged(port: object, **options: bool) -> Run:
    [run] = judging.judge(reference(**options), port, name="port").runs
    return run


def rows(run: Run) -> dict[str, Row]:
    return {row.node: row for row in run.rows}


@pytest.mark.parametrize("names", [("conv", "relu"), ("first", "second")])
def test_every_layer_is_judged_among_others_and_alone(names: tuple[str, str]) -> None:
    run = judged(Port(names))
    assert run.status == "holds", run.guilty
    found = rows(run)
    assert list(found) == ["conv", "relu", "mean"]
    for name in ("conv", "relu"):
        assert found[name].accumulated is not None
        assert found[name].local is not None
    assert found["mean"].accumulated is not None
    assert found["mean"].local is None
    assert found["mean"].why_not_local == "no layer of the port computes this node alone"
    how = "by name" if names == ("conv", "relu") else "by order, kind and shape"
    assert run.notes == (f"2 of 2 layers matched {how}",)


def test_a_layer_of_several_nodes_is_not_run_alone() -> None:
    found = rows(judged(Port(), one_node=False))
    assert found["conv"].accumulated is not None
    assert found["conv"].local is None
    assert found["relu"].local is not None


@pytest.mark.parametrize("names", [("conv", "relu"), ("first", "second")])
def test_a_wrong_weight_is_named_at_its_layer(names: tuple[str, str]) -> None:
    run = judged(Port(names, factor=1.001))
    assert run.guilty is not None
    assert run.guilty.node == "conv"
    assert run.guilty.local is not None
    assert not run.guilty.local.passed
    alone = rows(run)["relu"].local
    assert alone is not None
    assert alone.passed


def test_pairs_that_differ_are_no_layers_where_the_outputs_hold() -> None:
    class Other(Port):
        """Its maps are twice as large within, so that they are none of the reference's."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(2 * x) / 2

    run = judged(Other(("first", "second")))
    assert run.status == "holds"
    assert run.guilty is None
    assert list(rows(run)) == ["mean"]
    assert run.notes[1] == "2 of them are other layers: they differ, the outputs do not"
    # By name they are the same layers, and wrong.
    assert judged(Other()).status == "broken"


def right(x: Array) -> Array:
    maps = np.einsum("nchw,oc->nohw", x, WEIGHT[:, :, 0, 0])
    result: Array = np.maximum(maps, 0).mean((2, 3))
    return result


def conv(x: Array) -> Array:
    result: Array = np.einsum("nchw,oc->nohw", x, WEIGHT[:, :, 0, 0])
    return result


RIGHT: dict[str, Callable[[Array], Any]] = {
    "an array": right,
    "a list": lambda x: [right(x)],
    "a tuple": lambda x: (right(x),),
    "a tensor": lambda x: torch.from_numpy(right(x)).requires_grad_(),
    "a layer": lambda x: {"conv": conv(x)},
    "a layer, channels last": lambda x: {"conv": conv(x).transpose(0, 2, 3, 1)},
    "all layers": lambda x: {"conv": conv(x), "relu": np.maximum(conv(x), 0)},
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_function_may_give_outputs_or_layers_in_any_form(kind: str) -> None:
    run = judged(RIGHT[kind])
    assert run.status == "holds", run.guilty
    named = {"a layer": 1, "a layer, channels last": 1, "all layers": 2}.get(kind, 0)
    assert [row.node for row in run.rows] == (["conv", "relu"][:named] if named else ["mean"])
    assert run.notes == ((f"{named} of 2 layers matched by name",) if named else ())
    assert all(row.local is None for row in run.rows)


def test_a_function_cannot_change_what_the_reference_is_given() -> None:
    def spoils(x: Array) -> Array:
        result = right(x)
        x[...] = 0
        return result

    exported = reference()
    before = IMAGES.copy()
    [run] = judging.judge(exported, spoils, name="port").runs
    assert run.status == "holds"
    np.testing.assert_array_equal(exported.inputs["x"], before)


WRONG: dict[str, tuple[object, str]] = {
    "no port": (3, r"^port: is of the type int; expected a PyTorch module, a Keras model or a"),
    "an unknown layer": (lambda x: {"nv": x}, r"^port: no layer is called nv; expected conv, relu"),
    "two outputs": (lambda x: [x, x], r"^port: gives 2 outputs; expected 1, as the reference does"),
    "nothing": (lambda _: {}, r"^port: nothing to compare; expected one output or one layer"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_compared_is_bad_input(kind: str) -> None:
    port, problem = WRONG[kind]
    with pytest.raises(BadInput, match=problem):
        judged(port)


def last(values: Array) -> Array:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1))


def of_keras(
    monkeypatch: pytest.MonkeyPatch, taps: list[Tap], outputs: list[Array]
) -> tuple[object, list[Array]]:
    """A port that is taken for a Keras model, and what it was given."""
    given: list[Array] = []

    def computed(_: object, inputs: list[Array]) -> Computed:
        given.extend(inputs)
        return Computed(outputs, taps, True)

    monkeypatch.setattr(keras_layers, "is_model", lambda _: True)
    monkeypatch.setattr(keras_layers, "channels_last", lambda: True)
    monkeypatch.setattr(keras_layers, "computed", computed)
    monkeypatch.setattr(tf32, "switch", lambda _: "")
    return object(), given


def test_maps_of_another_layout_are_turned_on_the_way_in_and_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[tuple[int, ...]] = []

    def alone(values: Array) -> Array:
        read.append(values.shape)
        return last(conv(values.transpose(0, 3, 1, 2)))

    taps = [Tap("conv", "conv", last(conv(IMAGES)), True, alone, "", (None, 5, 4, 3))]
    port, given = of_keras(monkeypatch, taps, [right(IMAGES)])
    run = judged(port)
    assert run.status == "holds", run.guilty
    assert rows(run)["conv"].local is not None
    np.testing.assert_array_equal(given[0], last(IMAGES))
    assert read == [(2, 5, 4, 3)]


def test_a_layer_that_reads_another_shape_or_raises_is_not_run_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: Array) -> Array:
        raise RuntimeError("no kernel")

    for call, shape, why in (
        (conv, (None, 7, 6, 3), "another shape, as where a layer of its own pads before it"),
        (fails, (), r"the layer conv cannot be run alone (no kernel)"),
    ):
        taps = [Tap("conv", "conv", last(conv(IMAGES)), True, call, "", shape)]
        port, _ = of_keras(monkeypatch, taps, [right(IMAGES)])
        run = judged(port)
        assert run.status == "holds", run.guilty
        assert rows(run)["conv"].local is None
        assert why in rows(run)["conv"].why_not_local


def test_a_layer_that_cannot_be_run_alone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def relu(values: Array) -> Array:
        return np.maximum(values, 0)

    maps = conv(IMAGES)
    taps = [
        Tap("conv", "conv", last(maps), True),
        Tap("relu", "relu", last(relu(maps)), True, relu),
    ]
    port, _ = of_keras(monkeypatch, taps, [right(IMAGES)])
    found = rows(judged(port))
    assert found["relu"].local is not None
    assert found["conv"].local is None
    assert found["conv"].why_not_local == "no layer of the port computes this node alone"


def test_a_port_that_may_compute_in_tf32_is_judged_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf32, "switch", lambda _: "set this")
    rng = np.random.default_rng(2)

    def coarse(x: Array) -> dict[str, Array]:
        maps = conv(x)
        return {"conv": maps + 2e-4 * np.abs(maps) * rng.standard_normal(maps.shape)}

    run = judged(coarse)
    assert run.status == "holds", run.guilty
    assert run.notes[-1] == (
        "may compute in TF32 on this GPU, and is judged so; in float32: set this"
    )
    monkeypatch.setattr(tf32, "switch", lambda _: "")
    assert judged(coarse).status == "broken"
