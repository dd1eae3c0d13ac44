"""A tensor whose bytes are elsewhere, missing or too few is refused in one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnx
import pytest
from onnx import TensorProto

from export.load import open_model
from parity_tests.support.graphs.loaded import DATA, change, refused
from parity_tests.support.helpers import Command
from vgg16_spec.errors import BadInput

BAD_PLACES = {
    "absolute": ("location", "/etc/hostname", "is to be read from '/etc/hostname'"),
    "upwards": ("location", "../weights.bin", "is to be read from '../weights.bin'"),
    "hidden upwards": ("location", "a/../../weights.bin", "is to be read from"),
    "windows": ("location", "C:\\weights.bin", "is to be read from"),
    "windows upwards": ("location", "..\\weights.bin", "is to be read from"),
    "no name": ("location", "", "names no data file"),
    "missing": ("location", "none.bin", "its data file 'none.bin' is missing"),
    "the folder": ("location", ".", "its data file '.' is not a regular file"),
    "negative offset": ("offset", "-4", "has the offset '-4'"),
    "absurd offset": ("offset", "9" * 5000, "has the offset '99999"),
    "offset past the end": ("offset", "99999999", "of weights.bin, which has"),
    "huge offset": ("offset", str(2**62), "of weights.bin, which has"),
    "no number": ("length", "many", "has the length 'many'"),
    "negative length": ("length", "-1", "has the length '-1'"),
    "short length": ("length", "8", "has the length 8; expected 432 bytes"),
    "long length": ("length", "1000000", "has the length 1,000,000; expected 432 bytes"),
}


@pytest.mark.parametrize("kind", BAD_PLACES)
def test_data_that_cannot_be_where_they_are_said_to_be_are_one_line(
    vgg16: Command, external: Path, kind: str
) -> None:
    key, value, message = BAD_PLACES[kind]
    change(external, key, value)
    said = refused(vgg16, external)
    assert message in said
    assert "expected" in said


BAD_TENSORS: dict[str, tuple[Callable[[onnx.TensorProto], object], str]] = {
    "a type that does not exist": (
        lambda tensor: setattr(tensor, "data_type", 99),
        "has the type 99, which no data file can hold; expected numbers",
    ),
    "texts": (
        lambda tensor: setattr(tensor, "data_type", onnx.TensorProto.STRING),
        "has the type 8, which no data file can hold; expected numbers",
    ),
    "a negative size": (
        lambda tensor: tensor.dims.__setitem__(0, -4),
        "has the shape (-4, 3, 3, 3); expected sizes of 0 or more",
    ),
    "another size": (
        lambda tensor: tensor.dims.__setitem__(0, 5),
        "of shape (5, 3, 3, 3) has the length 432; expected 540 bytes",
    ),
}


@pytest.mark.parametrize("kind", BAD_TENSORS)
def test_a_tensor_of_which_no_data_can_be_is_one_line(
    vgg16: Command, external: Path, kind: str
) -> None:
    damage, message = BAD_TENSORS[kind]
    model = onnx.load(external, load_external_data=False)
    damage(model.graph.initializer[0])
    external.write_bytes(model.SerializeToString())
    assert refused(vgg16, external) == f"the tensor block1_conv1.weight {message}"


def test_a_data_file_that_is_too_short_is_one_line(vgg16: Command, external: Path) -> None:
    data = external.parent / DATA
    whole = data.stat().st_size
    os.truncate(data, whole - 1)
    message = f"which has {whole - 1:,}; expected a data file that is whole"
    assert refused(vgg16, external).endswith(message)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need a POSIX system")
def test_links_out_of_the_folder_and_pipes_are_one_line(
    vgg16: Command, external: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = external.parent / DATA
    outside = tmp_path_factory.mktemp("outside")
    data.rename(outside / DATA)
    data.symlink_to(outside / DATA)
    assert "its data file 'weights.bin' is a link out of the folder" in refused(vgg16, external)
    (external.parent / "linked").symlink_to(outside)
    change(external, "location", f"linked/{DATA}")
    assert "is a link out of the folder" in refused(vgg16, external)
    data.unlink()
    os.mkfifo(data)
    change(external, "location", DATA)
    assert refused(vgg16, external)
    external.unlink()
    os.mkfifo(external)
    assert refused(vgg16, external).startswith("is not a regular file")


def test_data_of_constants_and_of_functions_are_checked_too(
    vgg16: Command, embedded: Path, tmp_path: Path
) -> None:
    stranger = onnx.TensorProto(name="stranger", dims=[1], data_type=onnx.TensorProto.FLOAT)
    stranger.data_location = onnx.TensorProto.EXTERNAL
    stranger.external_data.add(key="location", value="/etc/hostname")
    constant = onnx.helper.make_node("Constant", [], ["c"], value=stranger)
    path = tmp_path / "model.onnx"
    model = onnx.load(embedded)
    model.graph.node.insert(0, constant)
    path.write_bytes(model.SerializeToString())
    assert "the tensor stranger is to be read from '/etc/hostname'" in refused(vgg16, path)
    model = onnx.load(embedded)
    imports = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(
        onnx.helper.make_function("local", "Secret", [], ["c"], [constant], imports)
    )
    path.write_bytes(model.SerializeToString())
    assert "the tensor stranger is to be read from '/etc/hostname'" in refused(vgg16, path)


# A tensor of three values, and the field that holds them -> the values of one too few, and all.
FIELDS: Final[dict[str, tuple[int, dict[str, Any], dict[str, Any]]]] = {
    "bytes": (TensorProto.FLOAT, {"raw_data": bytes(11)}, {"raw_data": bytes(12)}),
    "floats": (TensorProto.FLOAT, {"float_data": [0.0] * 2}, {"float_data": [0.0] * 3}),
    "16 bits": (TensorProto.FLOAT16, {"int32_data": [0] * 2}, {"int32_data": [0] * 3}),
    "4 bits": (TensorProto.INT4, {"int32_data": [0]}, {"int32_data": [0] * 2}),
    "complex": (TensorProto.COMPLEX64, {"float_data": [0.0] * 5}, {"float_data": [0.0] * 6}),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_a_tensor_with_fewer_values_than_its_shape_says_is_one_line(
    vgg16: Command, embedded: Path, tmp_path: Path, kind: str
) -> None:
    data_type, fewer, whole = FIELDS[kind]
    path = tmp_path / "model.onnx"

    def write_with(values: dict[str, Any]) -> None:
        model = onnx.load(embedded)
        tensor = TensorProto(name="t", dims=[3], data_type=data_type, **values)
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["c"], value=tensor))
        path.write_bytes(model.SerializeToString())

    write_with(whole)
    open_model(path)
    write_with(fewer)
    line = refused(vgg16, path)
    assert re.match(r"the tensor t of shape \(3,\) has \d+ (bytes|numbers); expected \d+$", line)


@pytest.mark.parametrize("place", ["the graph", "a branch"])
def test_a_sparse_weight_is_not_taken_for_one_that_is_missing(tmp_path: Path, place: str) -> None:
    """Valid, and ONNX Runtime runs it, but what reads graphs here would leave it out."""
    given = onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    made = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    values = onnx.helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = onnx.helper.make_tensor("", TensorProto.INT64, [1], [3])
    sparse = [onnx.helper.make_sparse_tensor(values, indices, [4])]
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    inputs = [given] if place == "the graph" else []
    graph = onnx.helper.make_graph(nodes, "g", inputs, [made], sparse_initializer=sparse)
    if place == "a branch":
        bit = onnx.helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = onnx.helper.make_graph([node], "g", [given, bit], [made])
    onnx.save(onnx.helper.make_model(graph, ir_version=10), tmp_path / "m.onnx")
    onnx.checker.check_model(tmp_path / "m.onnx")
    with pytest.raises(BadInput, match="the tensor w is stored as a sparse one"):
        open_model(tmp_path / "m.onnx")
