"""Small pictures that would take gigabytes are left out with their reason, wherever they are."""

from __future__ import annotations

import io
import re
import resource
import struct
import sys
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image

from parity_tests.support.datasets import CLASSES, LAYOUTS, picture
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_parity.evaluate.pixels import Room, prepared
from vgg16_spec.images.recipes import RECIPES

SIDE: Final = 16_383
# More than a picture of the usual size takes, and a hundredth of what these would.
MOST_BYTES: Final = 100 << 20


def png() -> bytes:
    """A header of 268 million pixels, and hardly any."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def text() -> bytes:
    """A picture with a text that is packed to a thousandth."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, "png")
    whole = made.getvalue()
    packed = b"Comment\0\0" + zlib.compress(bytes(300 << 20), 1)
    checksum = struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    end = whole.index(b"IDAT") - 4
    return whole[:end] + struct.pack(">I", len(packed)) + b"zTXt" + packed + checksum + whole[end:]


def gif() -> bytes:
    """A small frame on a screen of four billion pixels."""
    made = io.BytesIO()
    Image.new("L", (8, 8)).save(made, "gif")
    content = bytearray(made.getvalue())
    content[6:10] = b"\xff" * 4
    return bytes(content)


BOMBS: Final = {
    png(): r"is 16383×16383 pixels; expected at most 64,000,000, or a larger .*",
    text(): r"cannot be read \(.*\)",
    gif(): r"is 65535×65535 pixels; expected at most 64,000,000, or a larger .*",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n": "not a picture",
}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource on Windows")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bombs_are_left_out_and_the_others_are_read(layout: str, tmp_path: Path) -> None:
    images = [(content, number % 2) for number, content in enumerate([*BOMBS, picture(1)])]
    path = LAYOUTS[layout](tmp_path / "set", images)
    table = path / "labels.csv" if layout == "table" else None
    dataset = open_dataset(path, class_names=CLASSES, labels_csv=table)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = [prepared(item, RECIPES["torchvision"], 8, Room()) for item in dataset.items]
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < MOST_BYTES
    reasons = [each.reason for each in found if isinstance(each, Skipped)]
    assert len(reasons) == len(BOMBS)
    for reason in BOMBS.values():
        assert any(re.fullmatch(reason, each) for each in reasons), reasons
    (read,) = [each for each in found if isinstance(each, np.ndarray)]
    assert read.shape == (8, 8, 3)
