"""VGG in PyTorch. ``import torch_impl`` alone does not import PyTorch; using a name of it does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_impl.files import read_weights, write_weights
    from torch_impl.model import VGG
    from torch_impl.taps import run_with_taps
    from torch_impl.weights import load_checkpoint, to_checkpoint

__all__ = [
    "VGG",
    "load_checkpoint",
    "read_weights",
    "run_with_taps",
    "to_checkpoint",
    "write_weights",
]

_ROOMS = {
    "VGG": "model",
    "load_checkpoint": "weights",
    "read_weights": "files",
    "run_with_taps": "taps",
    "to_checkpoint": "weights",
    "write_weights": "files",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
