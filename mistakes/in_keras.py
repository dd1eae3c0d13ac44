"""Mistakes planted in the computation of the Keras model."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

import keras_impl
from mistakes.catalogue import Values
from vgg16_spec.checkpoint import Checkpoint


class Port:
    """The project's own model, as ``mistakes.catalogue.Port`` describes it."""

    def __init__(self, configuration: str) -> None:
        self.model = keras_impl.functional(
            configuration, classifier_activation=None, kernel_initializer="zeros"
        )
        self._calls = {layer.name: layer.call for layer in self.model.layers}

    def load(self, checkpoint: Checkpoint) -> None:
        """Load weights, and remove a planted mistake."""
        for layer in self.model.layers:
            layer.call = self._calls[layer.name]
        keras_impl.load_checkpoint(self.model, checkpoint)

    def plant(self, name: str) -> None:
        """Plant the mistake of that name, if it is one in the computation."""
        if name in CHANGES:
            CHANGES[name](self.model)

    def taps(self, images: Values) -> dict[str, Values]:
        """Every tap by name."""
        return keras_impl.run_with_taps(self.model, images)

    def layers(self, images: Values, given: dict[str, NDArray[np.float32]]) -> dict[str, Values]:
        """Return every layer's output for the given inputs."""
        return keras_impl.run_layers_locally(self.model, images, given)


def _convolved(layer: Any, values: Any, padding: str) -> Any:
    return ops.conv(values, layer.kernel, 1, padding, "channels_last") + layer.bias


def _no_relu(model: Any) -> None:
    layer = model.get_layer("block3_conv2")
    layer.call = lambda values, **_: _convolved(layer, values, "same")


def _average(model: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            layer.call = lambda values, **_: ops.average_pool(
                values, 2, 2, "valid", "channels_last"
            )


def _softmax(model: Any) -> None:
    layer = model.get_layer("predictions")
    layer.call = lambda values, **_: ops.softmax(ops.matmul(values, layer.kernel) + layer.bias)


def _one_side(model: Any) -> None:
    layer = model.get_layer("block2_conv1")

    def call(values: Any, **_: Any) -> Any:
        padded = ops.pad(values, ((0, 0), (0, 2), (0, 2), (0, 0)))
        return ops.relu(_convolved(layer, padded, "valid"))

    layer.call = call


def _dropout(model: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            seed = keras.random.SeedGenerator(0)
            layer.call = lambda values, seed=seed, **_: keras.random.dropout(values, 0.5, seed=seed)


CHANGES: Final = MappingProxyType(
    {
        "no ReLU": _no_relu,
        "average pooling": _average,
        "softmax": _softmax,
        "padding on one side": _one_side,
        "dropout left on": _dropout,
    }
)
