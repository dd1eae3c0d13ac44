"""A stranger's ONNX file is opened as it is, or refused in one line before its data are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from export.load import open_model
from onnx_arbiter.models.onnx_file import printable
from parity_tests.support.graphs.checked import use_local_function
from parity_tests.support.graphs.loaded import refused
from parity_tests.support.helpers import Command, make_unreadable
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput


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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_model_that_may_not_be_read_is_one_line(
    vgg16: Command, external: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_unreadable(external, monkeypatch)
    message = "cannot be read (Permission denied); expected an ONNX model (.onnx)"
    assert refused(vgg16, external) == message


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
