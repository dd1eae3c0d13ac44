"""ONNX Runtime on the CPU, for the export's own use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vgg16_spec.errors import BadInput


def require_onnxruntime() -> None:
    """Raise ``BadInput`` that says what to install where ONNX Runtime is missing."""
    if find_spec("onnxruntime") is None:
        raise BadInput("onnxruntime", "is not installed", 'pip install "vgg16-parity[onnx]"')


def open_session(model: Path | bytes, *, threads: int = 0) -> Any:
    """A session; 1 thread gives the same bits on every machine of a kind, 0 stands for all cores.

    Raises:
        BadInput: where ONNX Runtime is not installed.
    """
    require_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
