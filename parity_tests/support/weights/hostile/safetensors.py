"""Safetensors files that mean harm, by their headers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

from parity_tests.support.weights.hostile.common import (
    DEEP,
    Hostile,
)
from vgg16_spec.checkpoint import Checkpoint


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


MANY: Final = b"{" + b",".join(b'"t%d":{}' % number for number in range(4_000_000)) + b"}"
SAFETENSORS: Final[dict[str, tuple[Hostile, str]]] = {
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
