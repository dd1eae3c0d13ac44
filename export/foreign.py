"""What people have in place of an ONNX model, called by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.errors import BadInput
from vgg16_weights.signatures import ONNX_MODEL, kind_of

_FIRST_BYTES: Final = 512
_NEITHER: Final = "not an ONNX model, or a damaged one"


def not_onnx(path: Path, problem: str = "") -> BadInput:
    """The refusal of a file by what its first bytes say that it is, or else for this problem."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    if kind := kind_of(start):
        return BadInput(path, f"is {kind.what}", kind.to_onnx)
    begun = start[:1] == b"\x08"  # the field that every model begins with
    what = "begins as an ONNX model does, but is truncated or damaged"
    return BadInput(path, problem or (what if begun else _NEITHER), ONNX_MODEL)
