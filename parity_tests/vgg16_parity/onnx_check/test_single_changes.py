"""A graph with a single change is refused where it was changed, or computes the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from export import export_onnx
from export.load import open_model
from parity_tests.support.graphs.foreign import from_keras, from_torch
from parity_tests.support.graphs.single_changes import KINDS, Change, downstream, situations
from parity_tests.support.helpers import Command
from parity_tests.support.tolerances import FLOAT32_TAPS
from vgg16_parity.onnx_check import graph, weights
from vgg16_parity.onnx_check.walk import follow
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

# Sizes of an image that a graph leaves open: pictures are resized by a factor that is not whole.
OPEN: Final = (3, 101, 140, 3)


@dataclass(frozen=True)
class Found:
    """What the stages before the numbers say of a graph: its output's kind, and each problem."""

    kind: str
    problems: str


def look(path: Path, checkpoint: Checkpoint) -> Found:
    try:
        model = open_model(path)
    except BadInput as error:
        return Found("", str(error))
    found = follow(model, checkpoint.configuration, checkpoint.recipe)
    problems = [*graph.problems(found, checkpoint.configuration)]
    for weight in weights.compare(found, checkpoint):
        if weight.problem:
            problems += [f"{weight.tensor} ({weight.initializer}): {weight.problem}"]
    return Found(found.kind, "\n".join(problems))


def outputs(path: Path) -> NDArray[Any] | None:
    """The graph's output for noise; ``None`` where it does not run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    run = onnxruntime.RunOptions()
    run.log_severity_level = 4
    random = np.random.default_rng(1)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        sizes = zip(given.shape, OPEN, strict=True)
        shape = [size if isinstance(size, int) else usual for size, usual in sizes]
        images: NDArray[Any] = random.standard_normal(shape, np.float32)
        if "uint8" in given.type:
            images = random.integers(256, size=shape, dtype=np.uint8)
        (values,) = session.run(None, {given.name: images}, run)
    except Exception:  # ONNX Runtime's exceptions have no base of their own
        return None
    return np.asarray(values)


def own(**options: Any) -> Callable[[Checkpoint, Path], object]:
    return lambda checkpoint, path: export_onnx("keras", checkpoint, path, **options)


GRAPHS: dict[str, Callable[[Checkpoint, Path], object]] = {
    "canonical": own(),
    "pixels to probabilities": own(input="uint8", output="probabilities"),
    "pictures": own(input="uint8", resize=True),
    "PyTorch's older exporter": lambda c, path: from_torch(c, path, dynamo=False),
    "tf2onnx": from_keras,
}


@dataclass(frozen=True)
class Graph:
    """A graph, its output's kind and values, and the nodes to change: those unlike any before."""

    model: onnx.ModelProto
    kind: str
    expected: NDArray[Any]
    nodes: set[str]


@pytest.fixture(scope="module", params=GRAPHS)
def exporter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def original(
    exporter: str, exported: Path, tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Graph:
    path = tmp_path_factory.mktemp("original") / "model.onnx"
    GRAPHS[exporter](tiny, path)
    model, expected = onnx.load(path), outputs(path)
    assert expected is not None
    found = look(path, tiny)
    assert found.problems == ""
    known = {} if exporter == "canonical" else situations(onnx.load(exported))
    nodes = {name for key, name in situations(model).items() if key not in known}
    return Graph(model, found.kind, expected, nodes)


# How the stage of the weights speaks of a bias that is gone.
ABSENT: Final = "(): is absent"


def whereabouts(original: Graph, changed: onnx.ModelProto, change: Change) -> set[str]:
    """Of what a problem may speak: the node and its neighbours, what they read, the front."""
    behind = downstream(original.model, change.node) + downstream(changed, change.node)
    values = {name for node in behind for name in (*node.input, *node.output) if name}
    before = (node for node in original.model.graph.node if node.output[0] in behind[0].input)
    names = {node.name for node in (*behind, *before)} | {"inserted"} | values
    # A change of what makes the images is seen where the first layer reads them.
    front = {"preprocessing: "} if any(node.op_type == "Conv" for node in behind) else set()
    return {f" {name}{end}" for name in names for end in ":, "} | {f"({v})" for v in values} | front


def unnoticed(original: Graph, change: Change, path: Path, checkpoint: Checkpoint) -> str:
    """How a change went past the stages; empty where it is named, or where it changes nothing."""
    model = onnx.ModelProto()
    model.CopyFrom(original.model)
    change.edit(model)
    path.write_bytes(model.SerializeToString())
    found = look(path, checkpoint)
    if found.problems:
        names = whereabouts(original, model, change) | {ABSENT}
        named = any(name in found.problems for name in names)
        return "" if named or not found.kind else f"named elsewhere: {found.problems}"
    values = outputs(path)
    if values is None or found.kind != original.kind:
        return ""  # the numbers, or the kind of the output, tell
    if values.shape != original.expected.shape:
        return "another shape"
    error = np.abs(values - original.expected).max() / np.abs(original.expected).max()
    return "" if error <= FLOAT32_TAPS.limit else f"other values, by {error:.1e}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_change_is_named_or_changes_nothing(
    kind: str, exporter: str, original: Graph, tiny: Checkpoint, tmp_path: Path
) -> None:
    nodes = original.nodes
    if (exporter, kind) == ("canonical", "attributes"):
        nodes = {node.name for node in original.model.graph.node}
    found = {
        change.name: unnoticed(original, change, tmp_path / "changed.onnx", tiny)
        for change in KINDS[kind](original.model)
        if change.node in nodes
    }
    assert found
    assert [f"{name}: {how}" for name, how in found.items() if how] == []


# Of each kind of change one that ONNX Runtime computes: its verdict on the numbers is not needed.
TOLD: dict[str, str] = {
    "block3_conv1: dilations = [2, 1]": "Conv block3_conv1: dilations 2×1, expected 1×1",
    "fc2: alpha = 0.5": "Gemm fc2: transposes the images or multiplies by factors",
    "fc2_relu: reads fc1_preactivation for fc2_preactivation": "Gemm predictions: outputs 1000",
    "block2_conv2_relu: Sigmoid": "Sigmoid block2_conv2_relu: an operation that the network has",
    "block4_conv2: a float16 and back behind it": "Cast inserted: rounds to float16, where the",
    "block5_pool: axes 2 and 3 exchanged behind it": "fc1.weight (fc1.weight): ",
}


@pytest.mark.parametrize("name", TOLD)
def test_the_command_names_a_single_change(
    name: str, exported: Path, tiny: Checkpoint, tmp_path: Path, vgg16: Command
) -> None:
    model = onnx.load(exported)
    (change,) = (c for make in KINDS.values() for c in make(model) if c.name == name)
    change.edit(model)
    onnx.save(model, tmp_path / "changed.onnx")
    done = vgg16("check", tmp_path / "changed.onnx", "--weights", tiny.file)
    assert done.status == 1
    assert TOLD[name] in done.out
    assert done.out.splitlines()[-1] == f"changed.onnx does not match {tiny.file}."
