"""Open any ONNX file; what is none is called by its name."""

from __future__ import annotations

import os

import onnx_ir as ir

from export.foreign import not_onnx
from onnx_arbiter.models import onnx_file


def open_model(path: str | os.PathLike[str]) -> ir.Model:
    """Open an ONNX file, as `onnx_file.open_model` does."""
    return onnx_file.open_model(path, not_onnx)
