"""Files that mean harm: sparse files, pipes and devices, Caffe's and MATLAB's."""

from __future__ import annotations

import os
import struct
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Final

import vgg16_weights
from parity_tests.support.weights.hostile.common import CANARY, GIGABYTE, Hostile
from parity_tests.support.weights.tiny_files import matconvnet
from vgg16_spec.checkpoint import Checkpoint

TERABYTES: Final = 2 << 40


def sparse(name: str) -> Hostile:
    """A valid file that goes on for two terabytes, of which it has none."""

    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path, name)
        os.truncate(path, TERABYTES)

    return make


def sparse_before(name: str) -> Hostile:
    """An archive after two terabytes of nothing, as one that unpacks itself begins."""

    def make(path: Path, tiny: Checkpoint) -> None:
        vgg16_weights.write(tiny, path, name)
        content = path.read_bytes()
        with path.open("wb") as file:
            file.seek(TERABYTES)
            file.write(content)

    return make


def pipe(path: Path, tiny: Checkpoint) -> None:
    os.mkfifo(path)


def linked(target: str) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        path.symlink_to(target)

    return make


def loop(path: Path, tiny: Checkpoint) -> None:
    path.symlink_to(path)


def number(value: int) -> bytes:
    """In protobuf's variable length."""
    if value < 0:
        value += 1 << 64
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(key: int, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return number(key << 3 | 2) + number(size) + content


def caffe(content: bytes) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        path.write_bytes(field(1, b"VGG") + content)

    return make


def blob(shape: list[int], data: bytes) -> bytes:
    dims = b"".join(map(number, shape))
    return field(100, field(1, b"conv1_1") + field(7, field(7, field(1, dims)) + data))


def deep(levels: int) -> bytes:
    content = b""
    for _ in range(levels):
        content = field(7, content)
    return field(100, field(1, b"conv1_1") + content)


def matlab_bomb(path: Path, tiny: Checkpoint, *, variables: int) -> None:
    """Variables that inflate to a gigabyte each, beginning as a variable of that size would."""
    begin = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    packed = packed_gigabyte()
    path.write_bytes(begin + (struct.pack("<II", 15, len(packed)) + packed) * variables)


@cache
def packed_gigabyte() -> bytes:
    packer = zlib.compressobj(9)
    inner = struct.pack("<II", 14, GIGABYTE) + b"\x06\0\0\0\x08\0\0\0" + bytes(16)
    packed = packer.compress(inner)
    for _ in range(1 << 10):
        packed += packer.compress(bytes(1 << 20))
    return packed + packer.flush()


def lying_matlab(path: Path, tiny: Checkpoint, *, size: int) -> None:
    matconvnet(tiny, path, compressed=False)
    content = bytearray(path.read_bytes())
    content[132:136] = struct.pack("<I", size)
    path.write_bytes(content)


FILES: Final[dict[str, tuple[Hostile, str]]] = {
    **{
        f"two terabytes after {name}": (sparse(name), "bytes at most")
        for name in vgg16_weights.writable()
    },
    **{
        f"two terabytes before {name}": (sparse_before(name), "bytes at most")
        for name in ("npz", "keras", "torchvision")
    },
    "a pipe": (pipe, "is not a regular file"),
    "a link to a device": (linked("/dev/zero"), "is not a regular file"),
    "a link to nothing": (linked(CANARY), "no such file"),
    "a link to itself": (loop, "no such file"),
    "a length beyond the file": (caffe(field(100, b"", 1 << 40)), ""),
    "a negative length": (caffe(field(100, b"", -1)), ""),
    "a number that never ends": (caffe(b"\xa2\x06" + b"\xff" * 1000), ""),
    "deep messages": (caffe(deep(30_000)), ""),
    "a negative shape": (caffe(blob([-4, -27], field(5, bytes(432)))), ""),
    "an endless shape": (caffe(blob([1 << 62, 1 << 62], field(5, b""))), ""),
    "a shape of a million axes": (caffe(blob([1] * 1_000_000, field(5, bytes(4)))), ""),
    "a million fields": (caffe(b"\x20\x00" * 1_000_000), ""),
    "a .mat that inflates": (partial(matlab_bomb, variables=1), "cannot be used"),
    "a .mat that inflates fifty times": (partial(matlab_bomb, variables=50), "cannot be used"),
    "a .mat that is over too soon": (partial(lying_matlab, size=8), "cannot be used"),
}


# Read without asking what they are: a name, and the format to read it in.
TOLD: Final = {
    "a pipe": ("keras-h5", "npz", "torchvision", "safetensors", "matconvnet"),
    "two terabytes after keras-weights-h5": ("keras-weights-h5", "torchvision", "caffemodel"),
    "two terabytes before npz": ("npz", "keras", "torchvision"),
    "an archive of two million members": ("npz", "keras", "torchvision"),
    "a length beyond the file": ("caffemodel",),
    "a negative length": ("caffemodel",),
    "a number that never ends": ("caffemodel",),
    "a million fields": ("caffemodel",),
    "a heap that HDF5 never leaves": ("keras-h5", "keras", "matconvnet"),
    "a call in a .pth": ("npz", "keras", "caffemodel"),
}
