"""Files that mean harm: pickles, zip archives, safetensors headers. Each function writes one."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import vgg16_weights
from parity_tests.support.weights.tiny_files import older_pth, repacked
from vgg16_spec.checkpoint import Checkpoint

Hostile = Callable[[Path, Checkpoint], None]
# What a hostile file would make, had it its way: beside it, so that a test can look.
CANARY: Final = "canary"
GIGABYTE: Final = 1 << 30
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class Calls:
    """Pickled, it is a call of a function with an argument."""

    def __init__(self, function: Callable[[str], object], argument: str) -> None:
        self._call = function, (argument,)

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return self._call


class TensorThatCalls(torch.Tensor):
    """A tensor of a class of its own, whose making is another function's call."""

    command = ""

    def __reduce_ex__(self, _: object) -> Any:
        return os.system, (self.command,)


def touch(path: Path) -> str:
    return f"touch {path.with_name(CANARY)}"


def system(path: Path) -> object:
    return Calls(os.system, touch(path))


def evaluated(path: Path) -> object:
    return Calls(eval, f"__import__('os').system({touch(path)!r})")


def subclass(path: Path) -> object:
    TensorThatCalls.command = touch(path)
    return torch.ones(3).as_subclass(TensorThatCalls)


def zipped(payload: Callable[[Path], object]) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        torch.save({"features.0.weight": payload(path)}, path)

    return make


def older(payload: Callable[[Path], object]) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        torch.save({"x": payload(path)}, path, _use_new_zipfile_serialization=False)

    return make


def bare_pickle(path: Path, tiny: Checkpoint) -> None:
    path.write_bytes(pickle.dumps(system(path), 2))


def older_with_a_huge_storage(path: Path, tiny: Checkpoint) -> None:
    older_pth(tiny, path)
    content = path.read_bytes()
    # The number of elements of the first storage, before the None that ends its description.
    elements = b"K" + bytes([tiny["block1_conv1.weight"].size]) + b"N"
    assert elements in content
    path.write_bytes(content.replace(elements, b"J\xff\xff\xff\x7fN", 1))


def pickle_that_inflates(path: Path, tiny: Checkpoint) -> None:
    vgg16_weights.write(tiny, path, "torchvision")
    bomb = bytes(GIGABYTE // 2)

    def change(name: str, content: bytes) -> tuple[str, bytes, int]:
        return (name, bomb, DEFLATED) if name.endswith("data.pkl") else (name, content, STORED)

    repacked(path, path.with_name("repacked"), change)
    path.with_name("repacked").replace(path)


def storage_that_inflates(path: Path, tiny: Checkpoint) -> None:
    vgg16_weights.write(tiny, path, "torchvision")
    bomb = bytes(GIGABYTE // 2)

    def change(name: str, content: bytes) -> tuple[str, bytes, int]:
        return (name, bomb, DEFLATED) if name.endswith("data/0") else (name, content, STORED)

    repacked(path, path.with_name("repacked"), change)
    path.with_name("repacked").replace(path)


def pickled(content: bytes) -> Hostile:
    """A .pth with another pickle."""

    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path.with_name("plain"), "torchvision")
        repacked(
            path.with_name("plain"),
            path,
            lambda name, old: (name, content if name.endswith("data.pkl") else old, STORED),
        )
        path.with_name("plain").unlink()

    return make


def lists_in_lists(path: Path, tiny: Checkpoint) -> None:
    """Sixty lists, each twice in the next: more paths than there are atoms in a body."""
    made: list[Any] = [torch.ones(1)]
    for _ in range(60):
        made = [made, made]
    torch.save({"x": made}, path)


def tensors_in_tensors(path: Path, tiny: Checkpoint) -> None:
    """A parameter of a parameter of a parameter, deeper than Python calls."""
    call = b"ctorch._utils\n_rebuild_parameter\n"
    pickled(b"}X\x01\x00\x00\x00x" + call * 9_999 + b"}" + b"\x85R" * 9_999 + b"s.")(path, tiny)


def large_pickle(path: Path, tiny: Checkpoint) -> None:
    pickled(b"]" * (64 << 20) + b".")(path, tiny)


def long_key(path: Path, tiny: Checkpoint) -> None:
    """A name of megabytes, that a hundred thousand others begin with."""
    torch.save({"x" * 3_000_000: [Calls(os.system, "")] * 100_000}, path)


def tensor_of_petabytes(path: Path, tiny: Checkpoint) -> None:
    """A bias whose strides are zero, so that one value is all of them."""
    state = torch.load(_written(tiny, path))
    state["features.0.bias"] = torch.ones(1).expand(1 << 47)
    torch.save(state, path)


def _written(tiny: Checkpoint, path: Path) -> Path:
    vgg16_weights.write(tiny, path, "torchvision")
    return path


def npz_of_objects(path: Path, tiny: Checkpoint) -> None:
    with path.open("wb") as file:
        np.savez(file, conv1_1_W=np.array([system(path)], object))


def npz(change: Callable[[str, bytes], tuple[str, bytes, int]]) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path.with_name("plain"), "npz")
        repacked(path.with_name("plain"), path, change)
        path.with_name("plain").unlink()

    return make


def inflating_array(name: str, content: bytes) -> tuple[str, bytes, int]:
    if name != "fc8_b.npy":
        return name, content, STORED
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({GIGABYTE // 8},), }}"
    return name, head + text.ljust(117).encode() + b"\n" + bytes(GIGABYTE // 2), DEFLATED


def inflating_header(name: str, content: bytes) -> tuple[str, bytes, int]:
    if name != "fc8_b.npy":
        return name, content, STORED
    head = b"\x93NUMPY\x02\x00" + struct.pack("<L", GIGABYTE - 100)
    return name, head + b" " * (GIGABYTE - 100), DEFLATED


def claimed_size(path: Path, tiny: Checkpoint) -> None:
    """An archive whose list says of a member that it has 4 GB."""
    vgg16_weights.write(tiny, path, "npz")
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<LL", 0xFFFFFFF0, 0xFFFFFFF0)
    path.write_bytes(content)


def endless_list(path: Path, tiny: Checkpoint) -> None:
    """An archive of two million members, none of which has a content."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *(0,) * 9, 5, *(0,) * 6) + b"a.npy"
    listed = entry * 2_000_000
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2 * 10**6, 2 * 10**6,
                        len(listed), 0)  # fmt: skip
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(listed), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, *(0xFFFFFFFF,) * 2, 0)
    path.write_bytes(listed + large + locator + end)


def keras_member(member: str, content: bytes) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path, "keras")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, content)

    return make


def keras_configured(config: bytes) -> Hostile:
    """A whole model with a configuration of another."""

    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path.with_name("plain"), "keras")

        def change(name: str, content: bytes) -> tuple[str, bytes, int]:
            return name, config if name == "config.json" else content, STORED

        repacked(path.with_name("plain"), path, change)
        path.with_name("plain").unlink()

    return make


def listing(*layers: object) -> bytes:
    """The configuration of a model that lists layers."""
    return json.dumps({"class_name": "Sequential", "config": {"layers": layers}}).encode()


CODE: Final = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}


def header(text: bytes, length: int | None = None, values: int = 1 << 16) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        begin = struct.pack("<Q", len(text) if length is None else length)
        path.write_bytes(begin + text + bytes(values))

    return make


def tensors(**ranges: tuple[int, int]) -> bytes:
    """A safetensors header of float32 vectors."""
    return json.dumps(
        {
            name: {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}
            for name, (start, end) in ranges.items()
        }
    ).encode()


def twice(path: Path, tiny: Checkpoint) -> None:
    """A tensor's entry twice, with other values the second time."""
    content = tiny.file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].rstrip()
    size = tiny["fc2.bias"].nbytes
    begin = len(content) - 8 - length
    again = json.dumps(json.loads(tensors(x=(begin, begin + size)))["x"]).encode()
    text = text[:-1] + b', "fc2.bias": ' + again + b"}"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :] + bytes(size))


DEEP: Final = b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}"
MANY: Final = b"{" + b",".join(b'"t%d":{}' % number for number in range(4_000_000)) + b"}"
ARCHIVES: Final[dict[str, tuple[Hostile, str]]] = {
    "a call in a .pth": (zipped(system), "it holds posix.system, not named tensors"),
    "an evaluation in a .pth": (zipped(evaluated), "it holds __builtin__.eval, not named tensors"),
    "a tensor's class in a .pth": (zipped(subclass), "it holds posix.system, not named tensors"),
    "a call in an older .pth": (older(system), "it holds posix.system, not named tensors"),
    "an evaluation in an older .pth": (older(evaluated), "it holds __builtin__.eval, not named"),
    "a tensor's class in an older .pth": (older(subclass), "it holds posix.system, not named"),
    "a pickle": (bare_pickle, "is a plain pickle, which torch.save did not write"),
    "a huge storage in an older .pth": (older_with_a_huge_storage, "is incomplete"),
    "lists in lists in a .pth": (lists_in_lists, "lists are too many or nested too deeply"),
    "tensors in tensors in a .pth": (tensors_in_tensors, "cannot be used"),
    "a large pickle in a .pth": (large_pickle, "data.pkl has"),
    "numbers of a large pickle in a .pth": (pickled(b"}" * ((4 << 20) - 1) + b"."), "not named"),
    "a long key in a .pth": (long_key, "a key of 3000000 characters"),
    "a tensor of petabytes in a .pth": (tensor_of_petabytes, "wrong shape"),
    "a pickle that inflates": (
        pickle_that_inflates,
        "data.pkl has 536870912 bytes",
    ),
    "a storage that inflates": (
        storage_that_inflates,
        "is compressed, as in this format it never is",
    ),
    "an .npz of objects": (npz_of_objects, "has Python objects in it, which are not loaded"),
    "an array that inflates": (npz(inflating_array), "wrong shape: predictions.weight"),
    "a header that inflates": (npz(inflating_header), "cannot be used"),
    "a member that claims 4 GB": (claimed_size, ""),
    "an archive of two million members": (endless_list, "not a weights file"),
    "a member that climbs": (keras_member("../up", b""), "would be unpacked outside its folder"),
    "a member from the root": (keras_member("/etc/x", b""), "would be unpacked outside its folder"),
    "a layer of code": (keras_configured(listing(CODE)), "it contains code"),
    "a deep model": (keras_configured(b'{"config":{"layers":' + DEEP + b"}}"), "too deeply"),
    "a model of many layers": (
        keras_configured(listing(*[{"class_name": "Identity", "config": {"name": "x"}}] * 50_000)),
        "it ends after 0 convolutions",
    ),
    "tensors that overlap": (header(tensors(a=(0, 64), b=(32, 96)), values=96), "not a readable"),
    "a tensor out of range": (header(tensors(a=(0, 1 << 40))), "is truncated"),
    "a tensor that ends first": (
        header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}'),
        "not a readable safetensors",
    ),
    "a size beyond all numbers": (
        header(b'{"a":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,4]}}' % ((1 << 62,) * 2)),
        "not a readable safetensors",
    ),
    "a header of 100 MB": (header(b"{}".ljust(100_000_000)), "its header has 100000000 bytes"),
    "a header of exabytes": (header(b"{}", (1 << 63) - 1), "its header has 9223372036854775807"),
    "a header of four million names": (header(MANY), "bytes)"),
    "a header of deep lists": (header(DEEP), "not a readable safetensors file"),
    "a tensor twice": (twice, ""),
}
