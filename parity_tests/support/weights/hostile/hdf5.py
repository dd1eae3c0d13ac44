"""HDF5 files that mean harm: links, bombs, groups inside themselves, texts without end."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import h5py
import numpy as np

import vgg16_weights
from parity_tests.support.weights.hostile.common import Hostile
from vgg16_spec.checkpoint import Checkpoint

# Changes an open file: the place of a dataset that was put aside, and the file's path.
Change = Callable[[h5py.File, str, Path], None]


SECRET: Final = "secret"


KEYS: Final = {
    "keras-h5": "fc1/fc1_W_1:0",
    "keras-weights-h5": "layers/dense/vars/0",
}


def h5(name: str, change: Change) -> Hostile:
    """A valid file of a format, of which one dataset is put aside and another made instead."""

    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path, name)
        with h5py.File(path.with_name(SECRET), "w") as file:
            file["x"] = tiny["fc1.weight"].T
        with h5py.File(path, "r+") as file:
            key = KEYS[name]
            file.move(key, "aside")
            change(file, key, path)

    return make


def external_link(file: h5py.File, key: str, path: Path) -> None:
    file[key] = h5py.ExternalLink(str(path.with_name(SECRET)), "x")


def soft_link(file: h5py.File, key: str, path: Path) -> None:
    file[key] = h5py.SoftLink("/aside")


def external_storage(file: h5py.File, key: str, path: Path) -> None:
    shape = file["aside"].shape
    file.create_dataset(key, shape, np.float32, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, key: str, path: Path) -> None:
    layout = h5py.VirtualLayout(file["aside"].shape, np.float32)
    layout[...] = h5py.VirtualSource(str(path.with_name(SECRET)), "x", file["aside"].shape)
    file.create_virtual_dataset(key, layout)


def bomb(file: h5py.File, key: str, path: Path) -> None:
    side = 1 << 14
    data = file.create_dataset(
        key, (side, side), np.float32, chunks=(side, side), compression="gzip", compression_opts=1
    )
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(4 * side * side), 1))


def endless(file: h5py.File, key: str, path: Path) -> None:
    file.create_dataset(key, (1 << 30, 1 << 30), np.float32, chunks=(1024, 1024))


def one_huge_packed_chunk(file: h5py.File, key: str, path: Path) -> None:
    file.create_dataset(
        key, (1, 64), np.float32, chunks=(1 << 21, 64), maxshape=(None, 64), compression="gzip"
    )


def one_huge_chunk(file: h5py.File, key: str, path: Path) -> None:
    file.create_dataset(key, (1, 64), np.float32, chunks=(1 << 23, 64), maxshape=(None, 64))


def inside_itself(path: Path, tiny: Checkpoint) -> None:
    vgg16_weights.write(tiny, path, "keras-weights-h5")
    with h5py.File(path, "r+") as file:
        file["layers/dense/layers"] = file["layers"]


def everything_inside(path: Path, tiny: Checkpoint) -> None:
    """A hundred groups, and 10**20 paths through them."""
    with h5py.File(path, "w") as file:
        levels = [[file.create_group(f"layers/{n}/{m}") for m in range(10)] for n in range(10)]
        for outer, inner in pairwise([*levels, *levels[:1]]):
            for group in outer:
                for number, below in enumerate(inner):
                    group[f"inner_{number}"] = below


def same_layer(path: Path, tiny: Checkpoint) -> None:
    """Many layers that are one group, whose arrays are one array."""
    with h5py.File(path, "w") as file:
        group = file.create_group("0")
        group["0"] = np.ones((3, 3, 3, 4), np.float32)
        names = [str(number) for number in range(3000)]
        for name in names[1:]:
            group[name] = group["0"]
            file[name] = group
        group.attrs["weight_names"] = file.attrs["layer_names"] = np.array(names, "S4")


def long_attributes(path: Path, tiny: Checkpoint) -> None:
    """A backend and layers with names that are too long for anything."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["backend"] = np.bytes_(b"theano" * (1 << 20))
        file.attrs["layer_names"] = np.array([b"x" * (1 << 20)] * 8)


def one_long_text(path: Path, tiny: Checkpoint) -> None:
    """Four thousand names of layers, each a reference to the same text of a megabyte."""
    vgg16_weights.write(tiny, path, "keras-h5")
    length = 1 << 20
    with h5py.File(path, "r+") as file:
        names = np.array(["x" * length, *["y"] * 3999], object)
        file.attrs.create("layer_names", names, dtype=h5py.string_dtype())
    content = bytearray(path.read_bytes())
    # A reference: the text's length, then where the text is, in 12 bytes.
    size = 16
    found = re.search(struct.pack("<I", length) + b".{12}" + struct.pack("<I", 1), content, re.S)
    assert found
    first = found.start()
    for begin in range(first, first + size * len(names), size):
        content[begin : begin + size] = content[first : first + size]
    path.write_bytes(content)


def long_variables(path: Path, tiny: Checkpoint) -> None:
    """Groups whose names, as attributes, are a megabyte long."""
    vgg16_weights.write(tiny, path, "keras-weights-h5")
    with h5py.File(path, "r+") as file:
        layers = file["layers"]
        for group in layers.values():
            group.attrs["name"] = group["vars"].attrs["name"] = "x" * (1 << 20)
        layers["conv2d/vars"].move("0", "2")


def leading_out(path: Path, tiny: Checkpoint) -> None:
    vgg16_weights.write(tiny, path, "keras-h5")
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = np.array(["../../etc/passwd", "/block1_conv1"], "S")


def looped_heap(path: Path, tiny: Checkpoint) -> None:
    """A text whose heap says that its free space has no bytes: HDF5 never comes to its end."""
    vgg16_weights.write(tiny, path, "keras-weights-h5")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    at = heap + 16
    while (number := struct.unpack_from("<H", content, at)[0]) != 0:
        assert number
        at += 16 + -(-struct.unpack_from("<Q", content, at + 8)[0] // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)


def both(change: tuple[str, Change, str]) -> dict[str, tuple[Hostile, str]]:
    """The same in either form of Keras's HDF5 files."""
    what, make, says = change
    return {f"{what} in {name}": (h5(name, make), says) for name in KEYS}


HDF5: Final[dict[str, tuple[Hostile, str]]] = {
    **both(("an external link", external_link, "is a link")),
    **both(("a soft link", soft_link, "is a link")),
    **both(("external storage", external_storage, "is stored in another file")),
    **both(("a virtual dataset", virtual, "is stored in another file")),
    **both(("a gigabyte in a megabyte", bomb, "has more than 536870912 bytes")),
    **both(("an array of exabytes", endless, "has more than 536870912 bytes")),
    **both(("one huge chunk", one_huge_chunk, "has more than 536870912 bytes")),
    **both(("one huge packed chunk", one_huge_packed_chunk, "has packed chunks of more than 268")),
    "a layer inside itself": (inside_itself, "nested more than 32 deep"),
    "a model in which every layer is every other": (everything_inside, "cannot be used"),
    "ten million names for one layer": (same_layer, "lists more than 4096 arrays"),
    "attributes of megabytes": (long_attributes, "cannot be used"),
    "a text that is the name of every layer": (one_long_text, "cannot be used"),
    "names of a megabyte": (long_variables, "its 12 convolutions match no configuration"),
    "a layer that leads out of the group": (leading_out, "has no layer"),
    "a heap that HDF5 never leaves": (looped_heap, "reading it takes too long"),
}
