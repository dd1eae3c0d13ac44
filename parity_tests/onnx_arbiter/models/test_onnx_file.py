"""A tensor has the bytes that its shape and type take, where the file says, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_arbiter.models.onnx_file import open_model, printable
from vgg16_spec.errors import BadInput

WEIGHTS: Final = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(*tensors: TensorProto) -> onnx.ModelProto:
    """Adds a tensor ``w`` of (2, 3) to an input."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 3))],
        [numpy_helper.from_array(WEIGHTS, "w"), *tensors],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def saved(folder: Path, made: onnx.ModelProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def external(folder: Path, **places: str) -> Path:
    """The tensor's bytes at an offset of 8 in a file beside the model; what is stated of them."""
    made = model()
    [tensor] = made.graph.initializer
    (folder / "data.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "data.bin", "offset": "8", "length": "24"} | places).items():
        if value:
            tensor.external_data.add(key=key, value=value)
    return saved(folder, made)


def test_a_tensor_is_read_from_its_place_in_a_file_beside(tmp_path: Path) -> None:
    for length in ("24", ""):
        opened = open_model(external(tmp_path, length=length))
        value = opened.graph.initializers["w"].const_value
        assert value is not None
        np.testing.assert_array_equal(value.numpy(), WEIGHTS)


NUMBER: Final = "a number of bytes, 0 or more"
PLACES: Final[dict[str, tuple[dict[str, str], str]]] = {
    "no file": ({"location": ""}, "names no data file; expected a file in the model's folder"),
    "a NUL": ({"location": "a\0b"}, "names no data file"),
    "a folder above": ({"location": "../data.bin"}, "is to be read from '../data.bin'"),
    "above within": ({"location": "a/../data.bin"}, "is to be read from 'a/../data.bin'"),
    "Windows' above": ({"location": "a\\..\\data.bin"}, "is to be read from "),
    "the root": ({"location": "/data.bin"}, "is to be read from '/data.bin'"),
    "Windows' root": ({"location": "\\data.bin"}, "is to be read from "),
    "a drive": ({"location": "C:data.bin"}, "is to be read from 'C:data.bin'"),
    "a missing file": ({"location": "other.bin"}, "its data file 'other.bin' is missing"),
    "a link out": ({"location": "out.bin"}, "'out.bin' is a link out of the folder"),
    "a link to itself": ({"location": "loop.bin"}, "its data file 'loop.bin' is missing"),
    "a folder": ({"location": "folder"}, "its data file 'folder' is not a regular file"),
    "a negative offset": ({"offset": "-8"}, f"has the offset '-8'; expected {NUMBER}"),
    "a long offset": ({"offset": "1" * 50}, f"has the offset '{'1' * 40}'; expected {NUMBER}"),
    "a hexadecimal length": ({"length": "0x18"}, f"has the length '0x18'; expected {NUMBER}"),
    "another length": ({"length": "25"}, "of shape (2, 3) has the length 25; expected 24 bytes"),
    "a byte too far": (
        {"offset": "9"},
        "the tensor w ends at byte 33 of data.bin, which has 32; expected a data file that is wh",
    ),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_that_is_not_the_tensors_is_refused(tmp_path: Path, kind: str) -> None:
    places, problem = PLACES[kind]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "folder").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(32))
    (folder / "out.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "loop.bin").symlink_to("loop.bin")
    with pytest.raises(BadInput) as refused:
        open_model(external(folder, **places))
    assert problem in str(refused.value)


def of(kind: int, dims: tuple[int, ...], **fields: Any) -> TensorProto:
    return TensorProto(name="t", data_type=kind, dims=dims, **fields)


EMBEDDED: Final[dict[str, tuple[TensorProto, str]]] = {
    "a negative size": (
        of(TensorProto.FLOAT, (2, -1), raw_data=b""),
        "the tensor t has the shape (2, -1); expected sizes of 0 or more",
    ),
    "a type that is none": (
        of(999, (1,), raw_data=bytes(4)),
        "the tensor t has the type 999, which no data file can hold; expected numbers",
    ),
    "a byte less": (
        of(TensorProto.FLOAT, (2, 2), raw_data=bytes(15)),
        "the tensor t of shape (2, 2) has 15 bytes; expected 16",
    ),
    "a number less": (
        of(TensorProto.FLOAT, (2, 2), float_data=[1.0] * 3),
        "the tensor t of shape (2, 2) has 3 numbers; expected 4",
    ),
    "a part of a complex number less": (
        of(TensorProto.COMPLEX64, (2,), float_data=[1.0] * 3),
        "the tensor t of shape (2,) has 3 numbers; expected 4",
    ),
    "half bytes too many": (
        of(TensorProto.INT4, (3,), int32_data=[1] * 3),
        "the tensor t of shape (3,) has 3 numbers; expected 2",
    ),
}


@pytest.mark.parametrize("kind", EMBEDDED)
def test_a_tensor_of_another_size_than_its_shapes_is_refused(tmp_path: Path, kind: str) -> None:
    tensor, problem = EMBEDDED[kind]
    with pytest.raises(BadInput) as refused:
        open_model(saved(tmp_path, model(tensor)))
    assert str(refused.value).endswith(problem)


WHOLE: Final[dict[str, TensorProto]] = {
    "float64": of(TensorProto.DOUBLE, (3,), double_data=[1.0] * 3),
    "int64": of(TensorProto.INT64, (2,), int64_data=[1] * 2),
    "uint64": of(TensorProto.UINT64, (2,), uint64_data=[1] * 2),
    "int8, one each": of(TensorProto.INT8, (3,), int32_data=[1] * 3),
    "complex": of(TensorProto.COMPLEX64, (2,), float_data=[1.0] * 4),
    "half bytes": of(TensorProto.INT4, (3,), raw_data=bytes(2)),
    "a single number": of(TensorProto.FLOAT, (), raw_data=bytes(4)),
    "nothing": of(TensorProto.FLOAT, (0, 5), raw_data=b""),
    "text": of(TensorProto.STRING, (2,), string_data=[b"a", b"b"]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_tensor_of_its_shapes_size_is_opened_however_it_is_stored(
    tmp_path: Path, kind: str
) -> None:
    opened = open_model(saved(tmp_path, model(WHOLE[kind])))
    assert list(opened.graph.initializers) == ["w", "t"]


def copies(count: int) -> onnx.ModelProto:
    """A chain of so many nodes."""
    made = model()
    names = ["y", *(f"y{number}" for number in range(1, count))]
    nodes = [helper.make_node("Neg", [a], [b]) for a, b in pairwise(names)]
    made.graph.node.extend(nodes)
    return made


def unsorted() -> onnx.ModelProto:
    made = model()
    made.graph.node[0].output[0] = "z"
    made.graph.node.insert(0, helper.make_node("Neg", ["z"], ["y"]))
    return made


def shapeless() -> onnx.ModelProto:
    made = model()
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize("make", [unsorted, shapeless, lambda: copies(10_000)])
def test_what_runtimes_accept_is_opened(
    tmp_path: Path, make: Callable[[], onnx.ModelProto]
) -> None:
    opened = open_model(saved(tmp_path, make()))
    assert opened.graph[0].op_type == "Add"


def test_a_graph_of_more_nodes_than_any_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has 10,001 nodes; expected an ONNX model .* most 10,000$"):
        open_model(saved(tmp_path, copies(10_001)))


def test_a_long_name_is_cut_where_it_is_shown() -> None:
    assert printable("x" * 200) == "x" * 200
    assert printable("x" * 201) == f"{'x' * 200}…"
