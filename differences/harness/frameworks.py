"""Both frameworks in one process."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vgg16_spec.errors import BadInput


def frameworks() -> tuple[Any, Any]:
    """Import PyTorch, and Keras on TensorFlow.

    Raises:
        BadInput: Keras runs on another backend; some experiments use TensorFlow's gradients.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow exports the symbols of its LLVM, and Triton crashes if it is imported later, as
    # PyTorch does when it traces (tensorflow/tensorflow#124205).
    if find_spec("triton"):
        import_module("triton")
    torch = import_module("torch")
    keras = import_module("keras")
    if (backend := keras.backend.backend()) != "tensorflow":
        raise BadInput("KERAS_BACKEND", f"is {backend!r}", "tensorflow")
    return torch, keras
