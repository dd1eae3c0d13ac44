"""A container that is not as its format has it is refused for that, and only for that."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from parity_tests.support.weights.refusals import read_whole, refusal
from parity_tests.support.weights.tiny_files import TINY_FILES
from vgg16_spec.checkpoint import Checkpoint

# What changes a whole file.
Damage = Callable[[bytes], bytes]
pytestmark = pytest.mark.usefixtures("no_first_reading")


def replaced(old: bytes, new: bytes, *, last: bool = False) -> Damage:
    def change(data: bytes) -> bytes:
        at = data.rfind(old) if last else data.find(old)
        assert at >= 0
        return data[:at] + new + data[at + len(old) :]

    return change


def members(change: Callable[[dict[str, bytes]], object]) -> Damage:
    """A zip archive with other members, which are stored."""

    def damage(data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            found = {name: old.read(name) for name in old.namelist()}
        change(found)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as new:
            for name, content in found.items():
                new.writestr(name, content)
        return target.getvalue()

    return damage


def twice(data: bytes) -> bytes:
    target = io.BytesIO(data)
    with zipfile.ZipFile(target, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name is there already, which is the point
        archive.writestr(archive.namelist()[-1], b"")
    return target.getvalue()


def long_list(data: bytes) -> bytes:
    at = data.rfind(b"PK\x05\x06") + 12
    return data[:at] + struct.pack("<I", (1 << 20) + 1) + data[at + 4 :]


def elsewhere(data: bytes) -> bytes:
    """No member where the list says that the last one is."""
    at = data.rfind(b"PK\x03\x04")
    return data[:at] + b"PK\x03\x05" + data[at + 4 :]


def renamed(found: dict[str, bytes], suffix: str, content: bytes | None) -> None:
    (name,) = (each for each in found if each.endswith(suffix))
    del found[name]
    if content is not None:
        found[name] = content


class Foreign(pickle.Pickler):
    """Refers to everything that is not text as to something outside."""

    def persistent_id(self, obj: object) -> object:
        return None if isinstance(obj, str) else ("elsewhere",)


def referring() -> bytes:
    stream = io.BytesIO()
    Foreign(stream, protocol=2).dump(b"")
    return stream.getvalue()


def last_key(data: bytes) -> bytes:
    """The list of storages, which comes last of the pickles, with another name in it."""
    at = data.rfind(b"q\x01X")
    return data[: at + 7] + b"#" + data[at + 8 :]


def header_of_one(data: bytes) -> bytes:
    return replaced(b"'shape': (), }  ", b"'shape': (1,), }")(data)


def mixed_list(data: bytes) -> bytes:
    stream, objects = io.BytesIO(), np.empty(2, object)
    objects[:] = [np.ones((3, 3, 3, 4), np.float32), "biases"]
    np.save(stream, objects, allow_pickle=True)
    return stream.getvalue()


# The file, what is changed of it, and what is said.
REFUSED: Final[dict[str, tuple[str, Damage, str]]] = {
    "a member twice": ("torchvision", twice, "two of its members have the same name"),
    "no values": (
        "torchvision",
        members(lambda found: renamed(found, "/data/0", None)),
        "it has no member data/0",
    ),
    "a long mark of the order of bytes": (
        "torchvision",
        members(lambda found: renamed(found, "/byteorder", b"little at length")),
        "byteorder has 16 bytes",
    ),
    "another pickle's opcode": (
        "torchvision",
        members(lambda found: renamed(found, "/data.pkl", b"Pelsewhere\n.")),
        "a pickle with the opcode PERSID",
    ),
    "another pickle's reference": (
        "torchvision",
        members(lambda found: renamed(found, "/data.pkl", referring())),
        "it has a reference that is not PyTorch's",
    ),
    "a list of members too long": ("torchvision", long_list, "a list of members of 1048577 bytes"),
    "a list of members too long, of arrays": ("npz", long_list, "a list of members of 1048577"),
    "a member elsewhere": ("torchvision", elsewhere, "is not where the archive says"),
    "metadata too long": (
        "npz",
        members(lambda found: found.update({"vgg16.json": bytes((1 << 20) + 1)})),
        "vgg16.json has 1048577 bytes",
    ),
    "another version": (
        "torchvision, older",
        replaced(pickle.dumps(1001, 2), pickle.dumps(1002, 2)),
        "PyTorch before 1.6 wrote no such file",
    ),
    "another storage": ("torchvision, older", last_key, "it has values that belong to no tensor"),
    "a field of no type": ("caffemodel", lambda data: data + b"\x0b", "a field of wire type 3 at"),
    "a number without end": ("caffemodel", lambda data: data + b"\xff" * 10, "no number at byte"),
    "another beginning": (
        "matconvnet",
        lambda data: b"m" + data[1:],
        "it does not begin as MATLAB's files do",
    ),
    "another number of objects": (
        "npy",
        header_of_one,
        "it does not hold the Python objects that its header states",
    ),
    "a list with text": ("npy", mixed_list, "its list holds something other than arrays"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_container_is_refused_for_one_change(kind: str, tiny: Checkpoint, tmp_path: Path) -> None:
    name, damage, problem = REFUSED[kind]
    path = tmp_path / "w"
    file_format, make = TINY_FILES[name]
    source = tiny.with_recipe("caffe") if file_format in ("npz", "npy", "caffemodel") else tiny
    make(source, path)
    whole = path.read_bytes()
    read: Any = read_whole(file_format, path)
    assert len(read) == len(tiny)
    path.write_bytes(damage(whole))
    assert problem in refusal(file_format, path)
