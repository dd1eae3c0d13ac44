"""Files of PyTorch that mean harm: pickles, and the archives around them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

import vgg16_weights
from parity_tests.support.weights.hostile.common import (
    DEFLATED,
    GIGABYTE,
    STORED,
    Calls,
    Hostile,
    evaluated,
    system,
    touch,
)
from parity_tests.support.weights.tiny_files import older_pth, repacked
from vgg16_spec.checkpoint import Checkpoint


class TensorThatCalls(torch.Tensor):
    """A tensor of a class of its own, whose making is another function's call."""

    command = ""

    def __reduce_ex__(self, _: object) -> Any:
        return os.system, (self.command,)


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


def with_member(ending: str, content: bytes, compression: int = STORED) -> Hostile:
    """A .pth with another member in its archive, the one whose name ends so."""

    def make(path: Path, tiny: Checkpoint) -> None:
        def change(name: str, old: bytes) -> tuple[str, bytes, int]:
            return (name, content, compression) if name.endswith(ending) else (name, old, STORED)

        vgg16_weights.write(tiny, path.with_name("plain"), "torchvision")
        repacked(path.with_name("plain"), path, change)
        path.with_name("plain").unlink()

    return make


def that_inflates(ending: str) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        with_member(ending, bytes(GIGABYTE // 2), DEFLATED)(path, tiny)

    return make


def pickled(content: bytes) -> Hostile:
    return with_member("data.pkl", content)


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


def in_a_list(each: bytes, before: bytes = b"") -> Hostile:
    """A list of 20,000 values, each by the same opcodes; what comes before is remembered as 0."""
    return pickled(b"}X\x01\x00\x00\x00x" + before + b"](" + each * 20_000 + b"es.")


# A megabyte of text, and a list of 100,000 numbers, that opcodes refer to as 0.
TEXT: Final = b"X\x00\x00\x10\x00" + b"x" * (1 << 20) + b"q\x000"
NUMBERS: Final = b"(" + b"K\x01" * 100_000 + b"lq\x000"


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


PTH: Final[dict[str, tuple[Hostile, str]]] = {
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
    "arrays of 2 GB by a few letters": (
        in_a_list(b"cbuiltins\nbytearray\nJ\x00\x00\x00\x77\x85R"),
        "it holds builtins.bytearray, not named tensors",
    ),
    "a text of a megabyte that is encoded 20,000 times": (
        in_a_list(b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R", TEXT),
        "a text that is encoded again and again",
    ),
    "a list that is the arguments of 20,000 calls": (
        in_a_list(b"cother\nobject\nh\x00R", NUMBERS),
        "a call whose arguments are no tuple",
    ),
    "a list in 20,000 dictionaries": (
        in_a_list(b"ccollections\nOrderedDict\nh\x00\x85R", NUMBERS),
        "cannot be used",
    ),
    "a number of 5,000 digits": (pickled(b"}X\x01\x00\x00\x00xL" + b"9" * 5000 + b"L\ns."), ""),
    "a pickle that inflates": (that_inflates("data.pkl"), "data.pkl has 536870912 bytes"),
    "a storage that inflates": (
        that_inflates("data/0"),
        "is compressed, as in this format it never is",
    ),
}
