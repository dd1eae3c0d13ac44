"""A container that is not as its format has it is refused for that, and only for that."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import pytest

from parity_tests.support.weights.damage import (
    Damage,
    commented,
    edited,
    elsewhere,
    ending_early,
    header_of_one,
    last_key,
    long_list,
    many_entries,
    members,
    mixed_list,
    referring,
    renamed,
    replaced,
    twice,
    variables,
)
from parity_tests.support.weights.refusals import read_whole, refusal
from parity_tests.support.weights.tiny_files import TINY_FILES
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("no_first_reading")

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
    "a tensor without strides": (
        "torchvision, among others",
        edited("/data.pkl", b"(K\x1bK\tK\x03K\x01t", b"(NK\tK\x03K\x01t"),
        "it has a tensor without a storage, a shape or strides",
    ),
    "a storage that is too small": (
        "torchvision",
        members(lambda found: renamed(found, "/data/0", bytes(4 * 108 - 1))),
        "storage 0 is incomplete",
    ),
    "a long key": (
        "torchvision",
        members(lambda found: renamed(found, "/data.pkl", pickle.dumps({"x" * 1025: []}, 2))),
        "it has a key of 1025 characters",
    ),
    "lists in lists": (
        "torchvision",
        members(lambda found: renamed(found, "/data.pkl", b"]" * 40 + b"a" * 39 + b".")),
        "its dictionaries and lists are too many or nested too deeply",
    ),
    "a comment of an archive": ("npz", commented, "it says of itself is damaged or not ours"),
    "a comment of a model": ("keras", commented, "it says of itself is damaged or not ours"),
    "a large configuration": (
        "keras",
        members(lambda found: found.update({"config.json": b" " * ((1 << 22) + 1)})),
        "its config.json has more than 4194304 bytes",
    ),
    "more members than a VGG has": (
        "npz",
        members(lambda found: found.update({f"x{n}.npy": b"" for n in range(1024)})),
        "more than 1024 members",
    ),
    "a compressed array that ends early": (
        "npz, compressed",
        ending_early,
        "cannot be used (fc8_b.npy is incomplete); expected an archive that is whole",
    ),
    "more variables than a layer has": (
        "keras-weights-h5",
        variables(65),
        "/layers/conv2d/vars has more than 64 variables",
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
    "another version of NumPy's format": (
        "npy",
        replaced(b"\x93NUMPY\x01", b"\x93NUMPY\x03"),
        "it is in version (3, 0) of NumPy's format",
    ),
    "more entries than a network has": ("npy", many_entries, "it has more than 4096 entries"),
    "an array of nothing's size": (
        "npy, older",
        replaced(b"(\x8a\x01\x03", b"(N"),
        "it has an array of a shape that is not understood",
    ),
    "an array in no order of bytes": (
        "npy, older",
        replaced(b"U\x01<", b"U\x01^"),
        "it has an array of a type that is not understood",
    ),
    "an array that lies elsewhere": (
        "npy",
        lambda data: data[: data.index(b"\x80\x04")] + referring(),
        "it refers to what lies outside of it",
    ),
    "a long name of a function": (
        "npy, older",
        replaced(b"cnumpy", b"c" + b"x" * 256 + b"numpy"),
        "it has a name that is too long",
    ),
    "more instructions than arrays take": (
        "npy, older",
        replaced(b"}(", b"}" + b"N" * (1 << 17) + b"("),
        "it has more instructions than the weights of a VGG take",
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
