"""Graphs that give out every layer, and graphs cut at every layer, of either framework's export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from export import export_onnx
from export.constants import Framework
from export.graph import naming
from export.graph.taps import layers_alone, with_taps
from export.load import open_model
from mistakes.in_onnx import change_weight, node_of, remove
from vgg16_parity.own_port import Arbiter
from vgg16_spec.checkpoint import Checkpoint

FRAMEWORKS: Final[tuple[Framework, ...]] = ("keras", "torch")

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny) as made:
        yield made


@pytest.fixture(scope="module", params=FRAMEWORKS)
def exported(
    request: pytest.FixtureRequest, tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny network as one file, weights inside."""
    out = tmp_path_factory.mktemp("graph") / f"{request.param}.onnx"
    return export_onnx(request.param, tiny, out)


def tap_names(model: ir.Model) -> list[str]:
    return [str(value.name) for value in naming.taps(model)]


def run(model: ir.Model, *inputs: NDArray[Any]) -> Arrays:
    """Outputs by name, the logits as ``predictions``."""
    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {feed.name: values for feed, values in zip(session.get_inputs(), inputs, strict=True)}
    names = [output.name for output in session.get_outputs()]
    return dict(zip([*names[:-1], "predictions"], session.run(None, feeds), strict=True))


def tapped(path: Path) -> ir.Model:
    model = open_model(path)
    return with_taps(model, tap_names(model))


def both(path: Path, arbiter: Arbiter) -> tuple[Arrays, Arrays]:
    """Every tap, and every layer alone."""
    given = arbiter.given
    return (
        run(tapped(path), arbiter.images),
        run(layers_alone(open_model(path)), arbiter.images, *given.values()),
    )


def test_every_tap_is_an_output_in_the_networks_order(exported: Path, tiny: Checkpoint) -> None:
    names = [str(output.name) for output in tapped(exported).graph.outputs]
    assert names[:-1] == list(tiny.configuration.taps[:-1])
    # The last keeps the name that the exported file's own output has.
    assert names[-1:] == [str(output.name) for output in open_model(exported).graph.outputs]


def test_only_the_taps_that_are_asked_for_are_outputs(exported: Path) -> None:
    model = open_model(exported)
    chosen = ["fc1", "block2_pool"]
    assert [output.name for output in with_taps(model, chosen).graph.outputs] == chosen


def test_the_model_itself_is_left_as_it_was(exported: Path) -> None:
    model = open_model(exported)
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    with_taps(model, tap_names(model))
    layers_alone(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_the_cut_graph_reads_every_tap_but_the_last(exported: Path, tiny: Checkpoint) -> None:
    graph = layers_alone(open_model(exported)).graph
    taps = tiny.configuration.taps
    original = open_model(exported).graph
    assert [value.name for value in graph.inputs] == [
        *(value.name for value in original.inputs),
        *(f"{tap}_given" for tap in taps[:-1]),
    ]
    assert [str(value.name) for value in graph.outputs][:-1] == list(taps[:-1])
    shapes = tiny.configuration.output_shapes()
    for value, tap in zip(list(graph.inputs)[1:], taps, strict=False):
        assert value.shape is not None
        assert len(value.shape) == 1 + len(shapes[tap])
        assert value.shape[1] == shapes[tap][0]


def test_both_graphs_compute_the_network(exported: Path, arbiter: Arbiter) -> None:
    taps, layers = both(exported, arbiter)
    assert tuple(taps) == tuple(layers) == arbiter.checkpoint.configuration.taps
    row = arbiter.judge("onnx", taps, layers=layers)
    assert row.status == "holds", row.reason


def test_the_cut_graph_takes_maps_of_any_number_and_size(exported: Path, arbiter: Arbiter) -> None:
    taps = run(tapped(exported), arbiter.images)
    layers = run(layers_alone(open_model(exported)), *arbiter.probes.values())
    row = arbiter.judge("onnx", taps, probes=layers)
    assert row.status == "holds", row.reason
    assert [probe.layer for probe in row.probes] == list(taps)


def test_another_input_of_one_layer_changes_that_layer_alone(
    exported: Path, arbiter: Arbiter
) -> None:
    model = layers_alone(open_model(exported))
    inputs = [arbiter.images, *arbiter.given.values()]
    before = run(model, *inputs)
    assert len(inputs) == len(before)
    for place, tap in enumerate(before):
        changed = list(inputs)
        changed[place] = inputs[place] + np.float32(0.5)
        after = run(model, *changed)
        differ = [name for name in before if not np.array_equal(before[name], after[name])]
        assert differ == [tap]


def _average(model: onnx.ModelProto) -> None:
    node_of(model, "block3_pool").op_type = "AveragePool"


def _no_relu(model: onnx.ModelProto) -> None:
    relu = next(node for node in model.graph.node if node.output[0] == "block4_conv2")
    assert relu.op_type == "Relu"
    before = relu.input[0]
    remove(model, relu.name)
    # The tap's name goes to what takes its place, as an exporter would name it.
    for node in model.graph.node:
        node.input[:] = ["block4_conv2" if name == before else name for name in node.input]
        node.output[:] = ["block4_conv2" if name == before else name for name in node.output]


# Mistakes in an exported file, and the layer that must be named.
EDITS: Final[dict[str, tuple[Callable[[onnx.ModelProto], None], str]]] = {
    "average pooling": (_average, "block3_pool"),
    "no ReLU": (_no_relu, "block4_conv2"),
    "a bias": (change_weight("block2_conv1.bias", lambda v: v + np.float32(1e-3)), "block2_conv1"),
    "classes": (change_weight("predictions.weight", lambda v: v[::-1]), "predictions"),
    "fc1": (change_weight("fc1.weight", lambda v: v[:, ::-1]), "fc1"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_mistake_in_the_graph_is_named_by_its_layer_alone(
    exported: Path, arbiter: Arbiter, tmp_path: Path, name: str
) -> None:
    edit, layer = EDITS[name]
    model = onnx.load(exported)
    edit(model)
    path = tmp_path / "planted.onnx"
    onnx.save(model, path)
    taps, layers = both(path, arbiter)
    row = arbiter.judge(name, taps, layers=layers)
    assert (row.status, row.first_wrong) == ("broken", layer)
    assert [tap for tap, verdict in row.verdicts("local") if not verdict.passed] == [layer]
