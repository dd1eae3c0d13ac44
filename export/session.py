"""ONNX Runtime on the CPU, as the export itself uses it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vgg16_spec.errors import BadInput


def open_session(model: Path | bytes, *, threads: int = 0) -> Any:
    """A session; ``threads`` 1 computes the same bits on every machine of a kind, 0 takes all.

    Raises ``BadInput`` where ONNX Runtime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise BadInput("onnxruntime", "is not installed", 'pip install -e ".[onnx]"')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
