"""What is not weights is called by its name, with the way to the weights, in one short line."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vgg16_weights
from parity_tests.support.helpers import make_unreadable, same
from parity_tests.support.weights.tiny_files import older_pth, state_dict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 553433881\n"
TFJS = {"format": "layers-model", "modelTopology": {}, "weightsManifest": []}
TEXTS: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("w.pth", b"", "is empty.*download it again"),
    "a page": ("w.pth", b"\n<!DOCTYPE html><html>404</html>", "an HTML page.*download it again"),
    "an old page": ("w.h5", b"\xef\xbb\xbf<HTML><BODY>", "an HTML page.*download it again"),
    "a server's answer": ("w.npz", b"<?xml version='1.0'?><Error>", "is XML.*download it again"),
    "Keras's index of shards": (
        "w.weights.json",
        b'{"metadata": {"total_size": 9}, "weight_map": {"/layers/conv2d/vars": "w_0.weights.h5"}}',
        "index of several shards.*save_weights",
    ),
    "an answer in JSON": ("w.pth", b'{"error": "not found"}', "is JSON.*download it again"),
    "a pointer": ("w.safetensors", POINTER, "a Git LFS pointer.*git lfs pull"),
    "TF.js": ("model.json", json.dumps(TFJS).encode(), "a TF.js model.*tensorflowjs_converter"),
    "a part of TF.js": ("group1-shard1of3.bin", b"\x01" * 64, "a TF.js model.*tensorflowjs_conv"),
    "TFLite": ("w.tflite", b"\x1c\0\0\0TFL3" + bytes(64), "a TFLite model.*made from"),
    "ORT": ("w.ort", b"\x1c\0\0\0ORTM" + bytes(64), "in ONNX Runtime's own format.*made from"),
    "TensorRT": ("w.engine", b"ftrt" + bytes(64), "a TensorRT engine.*made from"),
    "MXNet": ("w.params", b"\x12\x01" + bytes(64), "MXNet's parameters.*made from"),
    "Core ML": ("w.mlmodel", b"\x08\x01" + b"\x7f" * 64, "a Core ML model.*made from"),
    "a graph": ("w.onnx", b"\x08\x07" + b"\x7f" * 64, "an ONNX graph"),
    "a graph of another name": (
        "w.bin", b"\x08\x08\x12\x07pytorch", "an ONNX graph, not a weights file.*vgg16 port"
    ),
    "TensorFlow": ("saved_model.pb", b"\x08\x01" + b"\x7f" * 64, "a TensorFlow graph"),
    "gzip": ("w.pth.gz", gzip.compress(b"weights"), "packed with gzip.*unpack it"),
    "7z": ("w.7z", b"7z\xbc\xaf\x27\x1c" + bytes(64), "a 7z archive.*unpack it"),
}  # fmt: skip


# By its name, or as another format, only where no format is told: then the user knows better.
BY_FORM = {"a part of TF.js", "Core ML", "a graph", "a graph of another name", "TensorFlow"}


def refusal(path: Path, *, formats: tuple[str | None, ...] = (None, "torchvision")) -> str:
    """How a file is refused, whether its format is told or not."""
    lines = set()
    for told in formats:
        with pytest.raises(BadInput) as error:
            vgg16_weights.read(path, told)
        lines.add(str(error.value))
    (line,) = lines
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert len(line) - len(str(path.parent)) < 250
    return line


def assert_called(line: str, pattern: str) -> None:
    what, *way = pattern.split(".*")
    assert what in line
    assert all(part in line.partition("; expected ")[2] for part in way)


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    file, content, pattern = TEXTS[name]
    (tmp_path / file).write_bytes(content)
    formats = (None,) if name in BY_FORM else (None, "torchvision")
    assert_called(refusal(tmp_path / file, formats=formats), pattern)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_file_that_may_not_be_read_is_refused(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.npz")
    make_unreadable(tmp_path / "w.npz", monkeypatch)
    for told, expected in ((None, "a weights file"), ("npz", "NumPy arrays")):
        line = refusal(tmp_path / "w.npz", formats=(told,))
        assert f"cannot be read (Permission denied); expected {expected}" in line


def a_pickled_module(path: Path, *, zipped: bool) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip


def a_module_in_a_checkpoint(path: Path) -> None:
    torch.save({"epoch": 3, "model": torch.nn.Conv2d(3, 4, 3), "rate": torch.ones(1)}, path)


def torchscript(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        trace: Any = torch.jit.trace
        trace(torch.nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 8, 8)).save(path)


def an_exported_program(path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(3, 4), (torch.zeros(1, 3),))
    with path.with_suffix(".pt2").open("wb") as file, warnings.catch_warnings(action="ignore"):
        torch.export.save(program, file)
    path.with_suffix(".pt2").replace(path)


def a_tar_of_pytorch(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            (path.parent / name).write_bytes(b"x")
            archive.add(path.parent / name, name)


def a_tar(path: Path) -> None:
    path.with_name("inside.pth").write_bytes(b"x" * 600)
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_name("inside.pth"), "inside.pth")


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vgg16.pth", b"x")


MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "module": (
        lambda path: a_pickled_module(path, zipped=True),
        "a whole pickled module (Sequential).*torch.save(model.state_dict(), 'weights.pth')",
    ),
    "older module": (
        lambda path: a_pickled_module(path, zipped=False),
        "a whole pickled module (Sequential).*torch.save(model.state_dict(), 'weights.pth')",
    ),
    "module among others": (
        a_module_in_a_checkpoint,
        "a whole pickled module (Conv2d) under 'model'.*torch.save(model.state_dict()",
    ),
    "TorchScript": (torchscript, "is TorchScript.*torch.jit.load.*torch.save(m.state_dict()"),
    "exported": (an_exported_program, "a program of torch.export.*torch.export.load.*state_dict"),
    "arrays": (
        lambda path: torch.save({"conv1_1": np.ones(3)}, path),
        "a pickle of NumPy arrays.*torch.from_numpy",
    ),
    "plain pickle": (
        lambda path: path.write_bytes(pickle.dumps([1, 2], 2)),
        "a plain pickle, which torch.save did not write.*torch.save",
    ),
    "list": (lambda path: torch.save([torch.ones(3)], path), "tensors without names.*state_dict()"),
    "number": (lambda path: torch.save(3, path), "it holds int, not named tensors.*state_dict()"),
    "tar of PyTorch 0.1": (a_tar_of_pytorch, "the tar format of PyTorch 0.1.*torch.save"),
    "tar": (a_tar, "a tar archive.*unpack it"),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_pytorch_saved_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    make, pattern = MADE[name]
    make(tmp_path / "w.pth")
    formats = ("torchvision",) if name == "exported" else (None, "torchvision")
    assert_called(refusal(tmp_path / "w.pth", formats=formats), pattern)
    assert_called(refusal(tmp_path / "w.pth", formats=(None,)), pattern)


def test_an_archive_of_a_weights_file_is_to_be_unpacked(tmp_path: Path) -> None:
    a_zip(tmp_path / "w.zip")
    line = refusal(tmp_path / "w.zip", formats=(None,))
    assert_called(line, "a zip archive with vgg16.pth in it.*unpack it")


@pytest.mark.parametrize("name", vgg16_weights.writable())
def test_half_a_download_is_called_truncated(tiny: Checkpoint, tmp_path: Path, name: str) -> None:
    path = tmp_path / "w"
    vgg16_weights.write(tiny, path, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line = refusal(path, formats=(None, name))
    assert_called(line, f"is truncated after {path.stat().st_size:,} bytes.*download it again")


def test_half_an_older_file_is_called_truncated(tiny: Checkpoint, tmp_path: Path) -> None:
    older_pth(tiny, tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-100])
    assert_called(refusal(tmp_path / "w"), "is truncated.*download it again")


@pytest.mark.parametrize("begin", [b"\x1f\x8b", b"<A", b"\n<", b"{\0", b"[ ", b" {"])
def test_a_headers_length_is_taken_for_nothing_else(
    tiny: Checkpoint, tmp_path: Path, begin: bytes
) -> None:
    """The first bytes of safetensors are a number, and may be those of anything."""
    content = tiny.file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    longer = int.from_bytes(begin, "little")
    longer += 0 if longer > length else 1 << 16
    text = content[8 : 8 + length].ljust(longer)
    (tmp_path / "w").write_bytes(longer.to_bytes(8, "little") + text + content[8 + length :])
    assert same(vgg16_weights.read(tmp_path / "w"), tiny)


def test_a_folder_says_what_it_is_and_what_is_in_it(tmp_path: Path) -> None:
    def folder(*names: str) -> str:
        made = tmp_path / names[0].replace(".", "_")
        made.mkdir()
        for name in names:
            (made / name).write_bytes(b"x")
        return refusal(made)

    assert_called(folder("saved_model.pb", "fingerprint.pb"), "SavedModel.*save_weights")
    assert_called(folder("model.json", "group1-shard1of1.bin"), "TF.js.*tensorflowjs_converter")
    assert_called(folder("config.json", "model.weights.h5"), "an unpacked .keras.*model.weights.h5")
    assert_called(folder("a.txt", "model.safetensors"), "is a folder.*a file: model.safetensors")
    many = folder(*(f"{number}.pth" for number in range(9)))
    assert_called(many, "is a folder.*a file: 0.pth, 1.pth, 2.pth and 6 more")


def test_a_large_file_is_read_if_the_disk_has_it(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgg16_weights import detection

    monkeypatch.setattr(detection, "_MOST_CLAIMED", 1 << 10)
    torch.save(state_dict(tiny), tmp_path / "w.pth")
    vgg16_weights.read(tmp_path / "w.pth")
    with (tmp_path / "w.pth").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadInput, match=r"bytes, of which .* are on the disk.* bytes at most"):
        vgg16_weights.read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model-00001-of-00002.safetensors", "is a shard, 1 of 2"),
        ("pytorch_model-00002-of-00003.bin", "is a shard, 2 of 3"),
        ("model.safetensors.index.json", "is the index of several shards"),
    ],
)
def test_one_of_several_files_is_called_so(
    tiny: Checkpoint, tmp_path: Path, name: str, words: str
) -> None:
    """Its features alone would pass for weights without a classifier."""
    path = tmp_path / name
    vgg16_weights.write(tiny.without_top(), path, "safetensors")
    if path.suffix == ".json":
        path.write_text('{"weight_map": {"features.0.weight": "a"}}')
    with pytest.raises(BadInput, match=words):
        vgg16_weights.read(path)
    if path.suffix == ".safetensors":
        alone = path.rename(tmp_path / "model-00001-of-00001.safetensors")
        assert vgg16_weights.read(alone).configuration == tiny.without_top().configuration
