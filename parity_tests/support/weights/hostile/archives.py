"""Zip archives that mean harm: NumPy's and Keras's. Each function writes one."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

import vgg16_weights
from parity_tests.support.weights.hostile.common import (
    DEEP,
    DEFLATED,
    GIGABYTE,
    STORED,
    Hostile,
    system,
)
from parity_tests.support.weights.keras_configs import saved_with
from parity_tests.support.weights.tiny_files import repacked
from vgg16_spec.checkpoint import Checkpoint


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
        saved_with(config, tiny, path)

    return make


def listing(*layers: object) -> bytes:
    """The configuration of a model that lists layers."""
    return json.dumps({"class_name": "Sequential", "config": {"layers": layers}}).encode()


CODE: Final = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}


ARCHIVES: Final[dict[str, tuple[Hostile, str]]] = {
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
}
