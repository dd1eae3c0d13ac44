"""Exported files of VGG16, judged as those of any network, are the arbiter's own graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from export import export_onnx
from export.constants import Framework
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Graph
from onnx_arbiter.judge.explain import explain
from onnx_arbiter.models.network import Network
from onnx_arbiter.runtimes.onnxruntime import RUNTIME
from onnx_arbiter.runtimes.runtime import observe
from parity_tests.support.graphs import exports, foreign
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.network.graph import graph_of
from vgg16_spec.checkpoint import Checkpoint

Write: TypeAlias = Callable[[Checkpoint, Path], Any]


def own(framework: Framework) -> Write:
    def write(checkpoint: Checkpoint, path: Path) -> Path:
        return export_onnx(framework, checkpoint, path)

    return write


OWN: Final[dict[str, Write]] = {"keras": own("keras"), "torch": own("torch")}
# As the frameworks' exporters write it: in NHWC with transpositions, or for a fixed batch of seven.
FOREIGN: Final[dict[str, Write]] = {
    "tf2onnx": partial(foreign.from_keras, classifier_activation=None),
    "torch.export": partial(foreign.from_torch, dynamo=True),
    "torchscript": partial(foreign.from_torch, dynamo=False),
}
WRITERS: Final = OWN | FOREIGN


@pytest.fixture(scope="module")
def written(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of the tiny network that a writer made, made once."""
    folder = tmp_path_factory.mktemp("written")

    def of(writer: str) -> Path:
        path = folder / f"{writer}.onnx"
        if not path.exists():
            WRITERS[writer](tiny, path)
        return path

    return of


def as_read(graph: Graph, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images in the layout of a graph's input, and as many as it takes."""
    [declared] = graph.inputs.values()
    assert declared.shape is not None
    count, channels = declared.shape[:2]
    given = images if channels == images.shape[1] else images.transpose(0, 2, 3, 1)
    return np.resize(given, (count, *given.shape[1:])) if isinstance(count, int) else given


def values_of(graph: Graph, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    [name] = graph.inputs
    steps = walk(graph, {name: images}, [])
    return {name: value.values for step in steps for name, value in step.outputs.items()}


@pytest.mark.parametrize("writer", OWN)
def test_a_file_of_the_project_has_the_graphs_nodes_and_values(
    tiny: Checkpoint, batch: Batch, written: Callable[[str], Path], writer: str
) -> None:
    images, taps = batch(tiny), tiny.configuration.taps
    ours, read = graph_of(tiny), Network.open(written(writer)).graph
    assert [(node.operator, node.name) for node in read.nodes] == [
        (node.operator, node.name) for node in ours.nodes
    ]
    found, expected = values_of(read, images), values_of(ours, images)
    found[taps[-1]] = found.pop(read.outputs[0])
    assert set(found) == set(expected)
    for name, values in expected.items():
        error = np.abs(found[name] - values).max()
        assert error <= FLOAT64.limit * np.abs(values).max(), name


@pytest.mark.parametrize("writer", WRITERS)
def test_onnx_runtime_holds_on_every_exporters_file(
    tiny: Checkpoint, batch: Batch, written: Callable[[str], Path], writer: str
) -> None:
    path = written(writer)
    graph = Network.open(path).graph
    images = as_read(graph, batch(tiny))
    with Arbiter(path, {"": images}) as arbiter:
        runs = observe(arbiter.network, arbiter.inputs, RUNTIME, arbiter.folder)
        report = arbiter.judge_runs(runs)
    assert report.holds, explain(report)
    assert not report.not_judged
    *_, alone = report.runs
    judged = {row.operator for row in alone.rows if row.local is not None}
    assert {"Conv", "Relu", "MaxPool"} <= judged
    # The graph's own logits are what the file's are held against.
    expected = values_of(graph_of(tiny), batch(tiny))["predictions"]
    logits = values_of(graph, images)[graph.outputs[0]]
    error = np.abs(logits[: len(expected)] - expected).max()
    assert error <= FLOAT64.limit * np.abs(expected).max()


def test_a_file_with_one_other_weight_is_broken_at_its_layer(
    tiny: Checkpoint, batch: Batch, written: Callable[[str], Path], tmp_path: Path
) -> None:
    right = written("keras")
    wrong = onnx.load(right)
    [kernel] = [t for t in wrong.graph.initializer if t.name == "block3_conv2.weight"]
    values = numpy_helper.to_array(kernel).copy()
    values[0, 0, 0, 0] *= 1.001
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    onnx.save(wrong, tmp_path / "wrong.onnx")
    wanted = ["block3_conv1", "block3_conv2", "block3_conv3"]
    tapped = Network.open(tmp_path / "wrong.onnx").tapped(wanted, tmp_path)
    computed = exports.run(tapped, batch(tiny))
    with Arbiter(right, {"": batch(tiny)}) as arbiter:
        report = arbiter.judge(computed)
    [run] = report.runs
    assert run.guilty is not None
    assert run.guilty.value == "block3_conv2"
