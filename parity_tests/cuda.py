"""Whether there is a GPU to test on."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def unusable() -> str:
    """Why no NVIDIA GPU can be used here; empty where one can."""
    if find_spec("torch") is None:
        return "PyTorch is not installed, which would find the GPU"
    import torch

    return "" if torch.cuda.is_available() else "PyTorch finds no usable NVIDIA GPU"
