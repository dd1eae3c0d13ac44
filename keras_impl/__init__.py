"""VGG in Keras. ``import keras_impl`` does not import Keras; the first use of a name does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dense": ["DenseVGG", "run_densely"],
        "gradients": ["run_with_gradients", "sgd_step"],
        "model": ["functional", "sequential"],
        "taps": ["run_layers_locally", "run_with_taps"],
        "weights": ["load_checkpoint", "to_checkpoint"],
    },
)

if TYPE_CHECKING:
    from keras_impl.dense import DenseVGG as DenseVGG
    from keras_impl.dense import run_densely as run_densely
    from keras_impl.gradients import run_with_gradients as run_with_gradients
    from keras_impl.gradients import sgd_step as sgd_step
    from keras_impl.model import functional as functional
    from keras_impl.model import sequential as sequential
    from keras_impl.taps import run_layers_locally as run_layers_locally
    from keras_impl.taps import run_with_taps as run_with_taps
    from keras_impl.weights import load_checkpoint as load_checkpoint
    from keras_impl.weights import to_checkpoint as to_checkpoint
