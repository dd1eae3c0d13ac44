"""Graphs and pictures that mean harm take little of the command that is given them."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnx
import pytest
from PIL import Image

from parity_tests.support.failing.measured import measured
from parity_tests.support.graphs.hostile import GRAPHS
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows"),
]

# For any one file, beside what the libraries take: the weights of a VGG, and half a gigabyte.
MOST_BYTES: Final = 1_100_000_000
MOST_SECONDS: Final = 60
SIDE: Final = 16_383


def webp() -> bytes:
    """The largest picture that WebP knows, in one colour: two sides of 14 bits, and few codes."""
    whole = io.BytesIO()
    Image.new("RGB", (8, 8)).save(whole, "webp", lossless=True)
    content = bytearray(whole.getvalue())
    at = content.index(b"VP8L") + 9
    sides = int.from_bytes(content[at : at + 4], "little") >> 28 << 28 | (SIDE - 1) * (
        1 + (1 << 14)
    )
    content[at : at + 4] = sides.to_bytes(4, "little")
    return bytes(content)


def png() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * SIDE)) for _ in range(SIDE)) + packer.flush()
    begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return begin + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def largest_webp() -> bytes:
    """As many pixels as are read, in the format that takes the most memory for each."""
    whole = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(whole, "webp", lossless=True, quality=0, method=0)
    return whole.getvalue()


def jpeg_2000(width: int) -> bytes:
    """One colour with transparency: four channels, for each of which the decoder has 32 bits."""
    whole = io.BytesIO()
    Image.new("RGBA", (width, 5000), (1, 2, 3, 4)).save(whole, "jpeg2000")
    return whole.getvalue()


def postscript() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n"


PICTURES: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "a WebP of 268 million pixels": (webp, "is 16383×16383 pixels; expected at most 64,000,000"),
    "a PNG of 268 million pixels": (png, "is 16383×16383 pixels; expected at most 64,000,000"),
    "PostScript": (postscript, "not a picture"),
    "a WebP of 64 million pixels": (largest_webp, ""),
    "a JPEG 2000 of 40 million pixels": (lambda: jpeg_2000(8000), ""),
    "a JPEG 2000 of more": (lambda: jpeg_2000(8001), "8001×5000 pixels; expected at most 40,000"),
}


@pytest.fixture(scope="module")
def results(
    tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What became of each: of a graph in a check and in a port, of a picture in a check."""
    folder = tmp_path_factory.mktemp("hostile")
    out = folder / "out"
    out.mkdir()
    commands: list[tuple[str, list[str]]] = []
    weights = ["--weights", str(tiny.file)]
    for number, (name, (make, _)) in enumerate(GRAPHS.items()):
        path = folder / f"{number}.onnx"
        onnx.save(make(), path)
        commands.append((name, ["check", str(path), *weights]))
        commands.append((f"{name}, port", ["port", str(path), str(out / "ported.safetensors")]))
    for name, (draw, _) in PICTURES.items():
        path = folder / f"{name}.png"
        path.write_bytes(draw())
        commands.append((name, ["predict", str(path), "--runtime", "torch", *weights]))
    found = measured(commands, out)
    for result in found.values():
        assert result["left"] == {}, result
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_refused(results: dict[str, Any], name: str) -> None:
    checked, ported = results[name], results[f"{name}, port"]
    assert checked["status"] in (1, 2), checked
    assert ported["status"] == 2, ported
    said = GRAPHS[name][1]
    assert said in checked["text"]
    if checked["status"] == 2:
        assert said in ported["text"]
    for result in (checked, ported):
        assert "Traceback" not in result["text"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_refused_or_read(results: dict[str, Any], name: str) -> None:
    result, said = results[name], PICTURES[name][1]
    assert result["status"] == (2 if said else 0), result
    assert said in result["text"].splitlines()[-1]


@pytest.mark.parametrize("name", [*GRAPHS, *(f"{name}, port" for name in GRAPHS), *PICTURES])
def test_it_takes_little(results: dict[str, Any], name: str) -> None:
    assert 0 <= results[name]["memory"] < MOST_BYTES, results[name]
    assert results[name]["seconds"] < MOST_SECONDS, results[name]


def test_the_limit_of_pixels_is_an_option(tmp_path: Path, tiny: Checkpoint, vgg16: Command) -> None:
    Image.new("RGB", (100, 99)).save(tmp_path / "p.png")
    command = ("predict", tmp_path / "p.png", "--weights", tiny.file, "--runtime", "torch")
    refused = vgg16(*command, "--max-pixels", 9899)
    assert refused.status == 2
    assert "is 100×99 pixels; expected at most 9,899" in refused.err
    assert vgg16(*command, "--max-pixels", 9900).status == 0
