"""Weights are read when they are needed, and only as much of them as is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Constant, Graph, Input, Node
from onnx_arbiter.numeric_modes import MODES

_MB: Final = 1_000_000
_FLOAT32: Final = MODES["float32"]
# Prints by how much a walk raises the peak of a new process.
_WALK: Final = """
import sys
import numpy as np
import onnx_ir
from onnx_arbiter.evaluate import walk
from onnx_arbiter.memory import peak_memory
from onnx_arbiter.models.network import Network
from onnx_arbiter.numeric_modes import MODES

before = peak_memory()
graph = Network.open(sys.argv[1]).graph
inputs = {"x": np.ones((1, 4), np.float32)}
steps = list(graph.nodes)
for step in walk(graph, inputs, [MODES["float32"]], wanted=sys.argv[2:] or None):
    assert not step.why, step.why
    steps.remove(step.node)
print(peak_memory() - before, len(steps))
"""


def write(
    path: Path, weights: Mapping[str, tuple[int, ...]], nodes: Sequence[onnx.NodeProto]
) -> None:
    """A model whose weights are zeros in a sparse file."""
    tensors, offset = [], 0
    for name, shape in weights.items():
        length = 4 * int(np.prod(shape))
        tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        places = {"location": "weights.bin", "offset": str(offset), "length": str(length)}
        for key, value in places.items():
            tensor.external_data.add(key=key, value=value)
        tensors.append(tensor)
        offset += length
    with (path.parent / "weights.bin").open("wb") as file:
        file.truncate(offset)
    rows = onnx.numpy_helper.from_array(np.array([3, 1 << 20]), "rows")
    given = [make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 4))]
    outputs = [
        make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, ("rows", "columns"))
    ]
    graph = make_graph(nodes, "large", given, outputs, [*tensors, rows])
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 21)], ir_version=10), path)


def growth(path: Path, *wanted: str) -> tuple[int, int]:
    """The peak of a walk above its start, and how many nodes it left out."""
    command = [sys.executable, "-c", _WALK, str(path), *wanted]
    found = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    return int(found[0]), int(found[1])


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="sparse files, VmHWM")


@needs_linux
def test_a_table_of_more_than_2_gb_is_read_where_its_rows_are(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    nodes = [
        make_node("Gather", ["table", "rows"], ["taken"]),
        make_node("Gemm", ["x", "taken"], ["y"], transB=1),
        make_node("MatMul", ["y", "last"], ["z"]),
    ]
    # The last one is not wanted.
    write(path, {"table": (150_000_000, 4), "last": (2, 300_000_000)}, nodes)
    assert (tmp_path / "weights.bin").stat().st_size > 4_500 * _MB
    peak, left_out = growth(path, "y")
    assert left_out == 1
    assert peak < 100 * _MB


@needs_linux
def test_a_weight_is_let_go_when_its_node_is_done(tmp_path: Path) -> None:
    path, sizes = tmp_path / "model.onnx", {f"w{place}": (12_000_000,) for place in range(8)}
    nodes = [
        node
        for place in range(8)
        for node in (
            make_node("ReduceMax", [f"w{place}"], [f"m{place}"], keepdims=0),
            make_node("Add", [f"y{place - 1}" if place else "x", f"m{place}"], [f"y{place}"]),
        )
    ]
    write(path, sizes, nodes)
    peak, left_out = growth(path)
    assert left_out == 0
    # One weight and its float64 copy are 144 MB; all weights together are 384 MB.
    assert peak < 250 * _MB


@pytest.mark.parametrize(
    ("operator", "attributes", "others"),
    [
        ("Transpose", {"perm": (1, 0)}, {}),
        ("Reshape", {}, {"shape": np.array([-1])}),
        ("Flatten", {"axis": 0}, {}),
        ("Unsqueeze", {}, {"axes": np.array([0])}),
        ("Identity", {}, {}),
    ],
)
def test_a_rearranged_tensor_has_as_many_independent_errors(
    operator: str, attributes: Mapping[str, Any], others: Mapping[str, Array]
) -> None:
    for seed in range(10):
        before, moved = walked(operator, attributes, others, seed)
        assert np.isfinite(before)
        assert moved == before


def test_a_tensor_repeated_has_no_more_independent_errors_and_a_part_has_fewer() -> None:
    before, repeated = walked("Tile", {}, {"repeats": np.array([3, 3])})
    assert repeated <= before
    before, part = walked("Slice", {}, {"starts": np.array([0]), "ends": np.array([2])})
    assert part < before / 2


def walked(
    operator: str, attributes: Mapping[str, Any], others: Mapping[str, Array], seed: int = 0
) -> tuple[float, float]:
    """The independent errors of a product, and of what an operator makes of it."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((4, 60)).astype(np.float32)
    nodes = (
        Node("product", "MatMul", ("x", "w"), ("p",)),
        Node("move", operator, ("p", *others), ("y",), attributes),
    )
    constants = {name: Constant.of(values) for name, values in {"w": weights, **others}.items()}
    x = rng.standard_normal((20, 4)).astype(np.float32)
    graph = Graph(nodes, {"x": Input(x.dtype, x.shape)}, ("y",), constants)
    first, second = walk(graph, {"x": x}, [_FLOAT32])
    return first.outputs["p"].independent["float32"], second.outputs["y"].independent["float32"]
