"""What people have in place of an ONNX model, by its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from vgg16_spec.errors import BadInput

_FIRST_BYTES: Final = 512
_MODEL: Final = "an ONNX model (.onnx)"
_NEITHER: Final = "not an ONNX model, or a damaged one"
_AGAIN: Final = "the ONNX model: the download failed, fetch it again"
_WEIGHTS: Final = f"{_MODEL}; weights go to --weights"
_MADE_FROM: Final = "the ONNX model that it was made from"


class _Kind(NamedTuple):
    """What has some bytes at a place."""

    at: int
    begin: bytes
    what: str
    expected: str


_KINDS: Final = (
    _Kind(0, b"version https://git-lfs", "a Git LFS pointer", "the file itself: git lfs pull"),
    _Kind(0, b"<!doctype html", "an HTML page", _AGAIN),
    _Kind(0, b"<html", "an HTML page", _AGAIN),
    _Kind(0, b"<?xml", "an XML text", _MODEL),
    _Kind(4, b"tfl3", "a TFLite model", _MADE_FROM),
    _Kind(4, b"ortm", "in ONNX Runtime's own format", _MADE_FROM),
    _Kind(0, b"pk\3\4", "a zip archive, as .pth, .pt, .keras and .npz are", _WEIGHTS),
    _Kind(0, b"\x89hdf", "an HDF5 file, as .h5 is", _WEIGHTS),
    _Kind(8, b'{"', "a .safetensors file", _WEIGHTS),
    _Kind(0, b"\x93numpy", "NumPy's array", _WEIGHTS),
    _Kind(0, b"\x80\2", "a Python pickle, as an old .pth is", _WEIGHTS),
    _Kind(0, b"\x1f\x8b", "packed with gzip", f"{_MODEL}: unpack it first"),
    _Kind(257, b"ustar", "a tar archive", f"{_MODEL}: unpack it first"),
)


def not_onnx(path: Path, problem: str = "") -> BadInput:
    """The refusal of a file by what its first bytes say that it is, or else for this problem."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    for kind in _KINDS:
        if (start.lower() if kind.at else text).startswith(kind.begin, kind.at):
            return BadInput(path, f"is {kind.what}", kind.expected)
    begun = start[:1] == b"\x08"  # the field that every model begins with
    what = "begins as an ONNX model does, but is truncated or damaged"
    return BadInput(path, problem or (what if begun else _NEITHER), _MODEL)
