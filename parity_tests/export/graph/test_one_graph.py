"""Whichever framework and backend a network is traced from, its ONNX file has the same bytes."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import onnx
import onnx_ir as ir
import pytest

from export import export_onnx
from export.constants import Framework
from export.graph import canonical
from export.trace import from_keras, from_torch
from parity_tests.support.graphs.graph_exports import export_all, graph
from parity_tests.support.graphs.graphs import serialised
from parity_tests.support.weights.hollow import hollow_checkpoint
from vgg16_spec.architecture import CONFIGURATIONS, Convolution, Dense, MaxPooling
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint

FRAMEWORKS: Final[tuple[Framework, ...]] = ("keras", "torch")
# Keras's other backends trace one network with VGG16's layers and one with 1x1 convolutions.
BACKENDS: Final = ("jax", "torch")
ON_EVERY_BACKEND: Final = ("tiny", "C")
# Tracing takes little more for large networks than for small ones; VGG16 itself is always checked.
NAMES: Final = [
    pytest.param(name, marks=() if name == "D" else pytest.mark.full) for name in CONFIGURATIONS
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@functools.cache
def exported(folder: Path, framework: Framework, name: str, features: bool) -> Path:
    """A graph that points into a checkpoint of the configuration's size without values."""
    weights = folder / f"{name}.safetensors"
    configuration = CONFIGURATIONS[name]
    if not weights.exists():
        hollow_checkpoint(configuration, folder)
    checkpoint = open_checkpoint(weights, check_values=False)
    out = graph(folder, name, framework, features=features)
    return export_onnx(framework, checkpoint, out, weights_file="shared", features=features)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_keras_and_pytorch_give_the_same_file(folder: Path, name: str) -> None:
    ours, theirs = (exported(folder, framework, name, False) for framework in FRAMEWORKS)
    assert sha256(ours) == sha256(theirs)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "tiny" else pytest.mark.full)
        for name in CONFIGURATIONS
    ],
)
def test_keras_and_pytorch_give_the_same_features(folder: Path, name: str) -> None:
    ours, theirs = (exported(folder, framework, name, True) for framework in FRAMEWORKS)
    assert sha256(ours) == sha256(theirs)
    assert sha256(ours) != sha256(exported(folder, "keras", name, False))


def test_a_file_with_its_weights_is_the_same_too(tiny: Checkpoint, tmp_path: Path) -> None:
    ours, theirs = (
        export_onnx(framework, tiny, tmp_path / f"{framework}.onnx") for framework in FRAMEWORKS
    )
    assert sha256(ours) == sha256(theirs)
    assert all(tiny[name].tobytes() in ours.read_bytes() for name in tiny)


@pytest.mark.full
def test_every_keras_backend_gives_the_same_file(tmp_path: Path) -> None:
    for name in ON_EVERY_BACKEND:
        hollow_checkpoint(CONFIGURATIONS[name], tmp_path)
    export_all("keras", tmp_path, "keras-tensorflow")
    for backend in BACKENDS:
        run = subprocess.run(
            [sys.executable, "-m", "parity_tests.support.graphs.graph_exports", str(tmp_path)],
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    for name, features in itertools.product(ON_EVERY_BACKEND, (False, True)):
        graphs = [
            sha256(graph(tmp_path, name, f"keras-{backend}", features=features))
            for backend in ("tensorflow", *BACKENDS)
        ]
        assert len(set(graphs)) == 1, (name, features, graphs)


def test_vgg16_is_37_nodes_in_100_kilobytes(folder: Path) -> None:
    path = exported(folder, "keras", "D", False)
    nodes = onnx.load(path, load_external_data=False).graph.node
    assert Counter(node.op_type for node in nodes) == {
        "Conv": 13,
        "Relu": 15,
        "MaxPool": 5,
        "Flatten": 1,
        "Gemm": 3,
    }
    assert len(nodes) == 37
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("features", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_those_of_the_table_by_name(folder: Path, name: str, features: bool) -> None:
    # The reading of the table that the export itself must not do.
    layers = CONFIGURATIONS[name].with_head(include_top=not features).layers
    expected = []
    for layer in layers:
        match layer:
            case Convolution():
                expected += [("Conv", layer.name), ("Relu", f"{layer.name}_relu")]
            case MaxPooling():
                expected.append(("MaxPool", layer.name))
            case Dense():
                expected.append(("Gemm", layer.name))
                expected += [("Relu", f"{layer.name}_relu")] if layer.relu else []
            case _:
                expected.append(("Flatten", layer.name))
    model = onnx.load(exported(folder, "keras", name, features), load_external_data=False)
    assert [(node.op_type, node.name) for node in model.graph.node] == expected
    (output,) = model.graph.output
    assert output.name == ("features" if features else "logits")


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_linked_where_the_checkpoint_has_them(folder: Path, name: str) -> None:
    model = onnx.load(exported(folder, "torch", name, False), load_external_data=False)
    checkpoint = open_checkpoint(folder / f"{name}.safetensors", check_values=False)
    shapes = checkpoint.configuration.weight_shapes
    assert [tensor.name for tensor in model.graph.initializer] == list(shapes)
    for tensor in model.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        shape = shapes[tensor.name]
        assert tuple(tensor.dims) == shape
        assert place["location"] == f"{name}.safetensors"
        assert int(place["offset"]) == checkpoint.offsets[tensor.name]
        assert int(place["length"]) == 4 * math.prod(shape)


@pytest.mark.parametrize(
    "tracer",
    [from_keras, pytest.param(from_torch, marks=pytest.mark.full)],
    ids=["keras", "torch"],
)
def test_canonicalising_a_traced_network_twice_changes_nothing(tracer: Any) -> None:
    model: ir.Model = tracer.trace(CONFIGURATIONS["tiny"])
    canonical.canonicalise(model)
    once = serialised(model)
    canonical.canonicalise(model)
    assert serialised(model) == once
