"""What people have in place of weights or of an ONNX model, by its first bytes."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

DOWNLOAD_AGAIN: Final = "the weights file; download it again"
UNPACK: Final = "the weights file in it: unpack it first"
MADE_FROM: Final = "the weights that it was made from"
JSON: Final = "JSON"
TAR: Final = "a tar archive"

ONNX_MODEL: Final = "an ONNX model (.onnx)"
_ONNX_AGAIN: Final = "the ONNX model; download it again"
_ONNX_UNPACKED: Final = f"{ONNX_MODEL}: unpack it first"
_ONNX_MADE_FROM: Final = "the ONNX model that it was made from"
_IS_WEIGHTS: Final = f"{ONNX_MODEL}; weights go to --weights"

_LFS: Final = "the file itself: git lfs pull"
_LITE: Final = (
    f"{MADE_FROM}, or arrays: i = tf.lite.Interpreter(FILE); i.allocate_tensors(); i.invoke(); "
    "i.get_tensor(d['index']) for each d of i.get_tensor_details()"
)
# What may precede a text.
_TEXT: Final = rb"[\xef\xbb\xbf \t\r\n]*"
# A text has none in its first eight bytes.
_NO_ZERO: Final = rb"(?!.{0,7}\0)"


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        begin: how it begins, a regular expression in which a dot is any byte.
        what: it is.
        to_weights: what to give in its place for weights; empty where it may hold them.
        to_onnx: what to give in its place for an ONNX model.
    """

    begin: bytes
    what: str
    to_weights: str
    to_onnx: str


# The first that fits; safetensors begin with a number, which may look like anything.
_KINDS: Final = (
    Kind(rb".{4}\0{4}\{", "a .safetensors file", "", _IS_WEIGHTS),
    Kind(_TEXT + rb"version https://git-lfs", "a Git LFS pointer", _LFS, _LFS),
    Kind(rb".{4}TFL3", "a TFLite model", _LITE, _ONNX_MADE_FROM),
    Kind(rb".{4}ORTM", "in ONNX Runtime's own format", MADE_FROM, _ONNX_MADE_FROM),
    Kind(rb"ftrt", "a TensorRT engine", MADE_FROM, _ONNX_MADE_FROM),
    Kind(rb"\x12\x01\0{6}", "MXNet's parameters", MADE_FROM, _ONNX_MADE_FROM),
    Kind(rb"\x1f\x8b", "packed with gzip", UNPACK, _ONNX_UNPACKED),
    Kind(rb"BZh", "packed with bzip2", UNPACK, _ONNX_UNPACKED),
    Kind(rb"\xfd7zXZ\0", "packed with xz", UNPACK, _ONNX_UNPACKED),
    Kind(rb"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK, _ONNX_UNPACKED),
    Kind(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK, _ONNX_UNPACKED),
    Kind(rb"Rar!", "a RAR archive", UNPACK, _ONNX_UNPACKED),
    Kind(
        _TEXT + rb"(?i:<(!doctype html|(.{0,507}<)?html))",
        "an HTML page",
        DOWNLOAD_AGAIN,
        _ONNX_AGAIN,
    ),
    Kind(_TEXT + rb"<(\?xml|[A-Za-z]+[ />])", "XML", DOWNLOAD_AGAIN, ONNX_MODEL),
    Kind(_NO_ZERO + _TEXT + rb"[{\[]", JSON, DOWNLOAD_AGAIN, ONNX_MODEL),
    Kind(rb"PK\x03\x04", "a zip archive, as .pth, .pt, .keras and .npz are", "", _IS_WEIGHTS),
    Kind(rb"\x89HDF", "an HDF5 file, as .h5 is", "", _IS_WEIGHTS),
    Kind(rb"\x93NUMPY", "NumPy's array", "", _IS_WEIGHTS),
    Kind(rb"\x80[\x02-\x05]", "a Python pickle, as an old .pth is", "", _IS_WEIGHTS),
    Kind(rb".{257}ustar", TAR, UNPACK, _ONNX_UNPACKED),
)


def kind_of(start: bytes) -> Kind | None:
    """The kind of a file that begins so; ``None`` for one that is not among these."""
    return next((kind for kind in _KINDS if re.match(kind.begin, start, re.DOTALL)), None)
