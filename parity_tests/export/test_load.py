"""A stranger's ONNX file is opened as it is, or refused in one line before its data are read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from export import export_onnx
from export.load import open_model, printable
from parity_tests.support.graphs.checked import use_local_function
from parity_tests.support.graphs.exports import remembered_traces
from parity_tests.support.helpers import Command, make_unreadable
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

DATA = "weights.bin"


@pytest.fixture(scope="module")
def embedded(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network as one file."""
    with remembered_traces():
        return export_onnx("keras", tiny, tmp_path_factory.mktemp("embedded") / "model.onnx")


@pytest.fixture
def external(embedded: Path, tmp_path: Path) -> Path:
    """The same with its weights in a file beside it."""
    path = tmp_path / "model.onnx"
    model = onnx.load(embedded)
    onnx.save_model(model, path, save_as_external_data=True, location=DATA, size_threshold=0)
    return path


def change(path: Path, key: str, value: str) -> None:
    """Have the first weight say something else about where its bytes are."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = [entry for entry in tensor.external_data if entry.key != key]
    kept.append(onnx.StringStringEntryProto(key=key, value=value))
    tensor.ClearField("external_data")
    tensor.external_data.extend(kept)
    path.write_bytes(model.SerializeToString())


def refused(vgg16: Command, path: Path) -> str:
    """What the command line says of a file, after its name."""
    done = vgg16("check", path, "--configuration", "tiny")
    last = done.err.strip().splitlines()[-1]
    assert done.status == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert last.startswith(f"vgg16: {path}: ")
    return last.removeprefix(f"vgg16: {path}: ")


def test_the_weights_of_both_kinds_are_the_checkpoints(
    embedded: Path, external: Path, tiny: Checkpoint
) -> None:
    for path in (embedded, external):
        weights = open_model(path).graph.initializers
        for name in tiny:
            tensor = weights[name].const_value
            assert tensor is not None
            assert tensor.numpy().tobytes() == tiny[name].tobytes()


def test_opening_reads_no_weight(external: Path) -> None:
    tensors = [value.const_value for value in open_model(external).graph.initializers.values()]
    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    assert all(getattr(tensor, "raw", None) is None for tensor in tensors)


def test_functions_are_put_in_the_place_of_their_calls(embedded: Path, tmp_path: Path) -> None:
    model = onnx.load(embedded)
    use_local_function(model)
    onnx.save(model, tmp_path / "functions.onnx")
    opened = open_model(tmp_path / "functions.onnx")
    assert {node.domain for node in opened.graph} == {""}


def turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "no such file; expected an ONNX model"),
    "folder": (turn_into_folder, "is a folder; expected an ONNX model"),
    "empty": (write(b""), "is empty; expected an ONNX model"),
    "text": (write(b"these are no weights"), "not an ONNX model, or a damaged one"),
    "other": (write(b"\x08\x08"), "holds no graph with an input and an output"),
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "begins as an ONNX model does, but is truncated or damaged; expected an ONNX model",
    ),
    "HTML": (
        write(b"\n<!DOCTYPE html><html>"),
        "is an HTML page; expected the ONNX model; download",
    ),
    "LFS": (write(b"version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer; expect"),
    "TFLite": (write(b"\x1c\0\0\0TFL3" + bytes(64)), "is a TFLite model; expected the ONNX model"),
    "zip": (write(b"PK\3\4" + bytes(64)), "is a zip archive, as .pth, .pt, .keras and .npz are"),
    "HDF5": (write(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file, as .h5 is; expected an ONNX model"),
    "safetensors": (write(b'\x40\0\0\0\0\0\0\0{"a":{}}'), "is a .safetensors file; expected an O"),
    "7z": (write(b"7z\xbc\xaf\x27\x1c" + bytes(64)), "is a 7z archive; expected an ONNX model"),
    "JSON": (write(b'{"error": "not found"}'), "is JSON; expected an ONNX model"),
    "gzip": (write(b"\x1f\x8b\x08" + bytes(64)), "is packed with gzip; expected an ONNX model"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_model_are_one_line(vgg16: Command, external: Path, kind: str) -> None:
    damage, message = BAD_FILES[kind]
    damage(external)
    assert refused(vgg16, external).startswith(message)


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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_model_that_may_not_be_read_is_one_line(
    vgg16: Command, external: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_unreadable(external, monkeypatch)
    message = "cannot be read (Permission denied); expected an ONNX model (.onnx)"
    assert refused(vgg16, external) == message


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


def test_a_graph_that_is_no_graph_is_one_line(
    vgg16: Command, embedded: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.load(embedded)
    model.graph.node[3].input[0] = "nothing"
    path.write_bytes(model.SerializeToString())
    assert refused(vgg16, path).startswith("not a valid ONNX model (")


def test_a_file_beyond_what_a_message_holds_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(BadInput, match=r"is 2,147,483,648 bytes; expected an ONNX model .* 2 GiB"):
        open_model(path)


def test_names_from_a_file_do_nothing_to_a_terminal() -> None:
    assert printable("a\x1b[31m\nb") == r"a\x1b[31m b"
    assert len(printable("x" * 5000)) < 300
