"""VGG in Keras. ``import keras_impl`` alone does not import Keras; using a name of it does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_impl.gradients import run_with_gradients, sgd_step
    from keras_impl.model import functional, sequential
    from keras_impl.taps import run_layers_alone, run_with_taps
    from keras_impl.weights import load_checkpoint, to_checkpoint

__all__ = [
    "functional",
    "load_checkpoint",
    "run_layers_alone",
    "run_with_gradients",
    "run_with_taps",
    "sequential",
    "sgd_step",
    "to_checkpoint",
]

_ROOMS = {
    "functional": "model",
    "load_checkpoint": "weights",
    "run_layers_alone": "taps",
    "run_with_gradients": "gradients",
    "run_with_taps": "taps",
    "sequential": "model",
    "sgd_step": "gradients",
    "to_checkpoint": "weights",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
