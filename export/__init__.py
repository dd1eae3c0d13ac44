"""Keras to ONNX and PyTorch to ONNX; ``import export`` imports no framework, and no ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from export.bundle.destination import check_out as check_out
    from export.bundle.write import export_onnx as export_onnx
    from export.constants import MODEL_FILE as MODEL_FILE
    from export.constants import VERSION as VERSION
    from export.constants import WEIGHTS_FILE as WEIGHTS_FILE
    from export.options import Options as Options

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bundle.destination": ["check_out"],
        "bundle.write": ["export_onnx"],
        "constants": ["MODEL_FILE", "VERSION", "WEIGHTS_FILE"],
        "options": ["Options"],
    },
)
