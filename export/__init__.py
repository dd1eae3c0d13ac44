"""Keras to ONNX and PyTorch to ONNX; ``import export`` imports no framework."""

from __future__ import annotations

from export.bundle.write import check_out, export_onnx, write_export
from export.constants import MODEL_FILE, VERSION, WEIGHTS_FILE
from export.options import Options

__all__ = [
    "MODEL_FILE",
    "VERSION",
    "WEIGHTS_FILE",
    "Options",
    "check_out",
    "export_onnx",
    "write_export",
]
