"""VGG in PyTorch. ``import torch_impl`` alone does not import PyTorch; using a name of it does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_impl.gradients import run_with_gradients, sgd_step
    from torch_impl.model import VGG
    from torch_impl.taps import run_layers_alone, run_with_taps
    from torch_impl.weights import load_checkpoint, to_checkpoint

__all__ = [
    "VGG",
    "load_checkpoint",
    "run_layers_alone",
    "run_with_gradients",
    "run_with_taps",
    "sgd_step",
    "to_checkpoint",
]

_ROOMS = {
    "VGG": "model",
    "load_checkpoint": "weights",
    "run_layers_alone": "taps",
    "run_with_gradients": "gradients",
    "run_with_taps": "taps",
    "sgd_step": "gradients",
    "to_checkpoint": "weights",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
