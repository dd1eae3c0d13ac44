"""Compares a saved model's classifier with a VGG's three dense layers."""

from __future__ import annotations

from typing import Final

from vgg16_spec.architecture import Configuration
from vgg16_spec.errors import counted
from vgg16_weights.contents import DataFormat
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork, SavedLayer, refuse
from vgg16_weights.keras.whole_model.features import Features, refuse_foreign
from vgg16_weights.keras.whole_model.settings import (
    ACTIVATION_LAYERS,
    activation,
    check_weights,
    data_format,
)

_DENSE: Final = 3
_WEIGHTED: Final = ("Dense", "Conv2D", "Convolution2D")


class Classifier:
    """The layers of a model after its last pooling, as far as they have been followed.

    Attributes:
        weighted: the paths of the layers that have weights, of any kind.
        data_format: the order in which the maps are flattened.
        problem: why it is not a VGG's classifier: the first difference.
    """

    def __init__(self, features: Features) -> None:
        self.weighted: list[str] = []
        self.data_format: DataFormat | None = None
        self.problem = ""
        self._features = features
        self._due: SavedLayer | None = None
        self._has_softmax = False

    def take(self, layer: SavedLayer) -> None:
        """Follow the data through one more layer."""
        if layer.kind in _WEIGHTED:
            self.weighted.append(layer.path)
        try:
            self._take(layer)
        except NotThisNetwork as problem:
            self.problem = self.problem or str(problem)

    def finish(self, network: Configuration) -> None:
        """Note what is missing at the model's output, given the network that its features are."""
        side = network.input_size // network.minimum_size
        height, width = self._features.sides
        problem = ""
        if self._features.lacks_pooling:
            problem = "the last pooling is missing"
        elif None not in (height, width) and (height, width) != (side, side):
            problem = f"the last maps are {height}x{width}, where {network.name} has {side}x{side}"
        elif len(self.weighted) != _DENSE:
            found = counted(len(self.weighted), "dense layer")
            problem = f"its classifier has {found}, where a VGG has 3"
        self.problem = self.problem or problem

    def _take(self, layer: SavedLayer) -> None:
        if layer.kind in ACTIVATION_LAYERS:
            self._activate(layer, f"is {activation(layer)}", activation(layer))
        elif layer.kind in ("Flatten", "Reshape"):
            self._flatten(layer)
        elif layer.kind == "Dense":
            self._connect(layer)
        else:
            refuse_foreign(layer)

    def _flatten(self, layer: SavedLayer) -> None:
        """Keras's ``Flatten`` makes (N, H, W, C) of maps that are ``channels_first`` for it."""
        if self.data_format:
            refuse(layer, "flattens a second time")
        is_turned = layer.kind == "Flatten" and data_format(layer) == "channels_first"
        if layer.kind == "Reshape":
            shape = layer.settings.get("target_shape")
            if not isinstance(shape, list) or len(shape) != 1:
                refuse(layer, "does not produce a vector", "Flatten")
        elif is_turned and self._features.data_format == "channels_last":
            refuse(layer, "is channels_first, unlike its maps", "channels_last")
        self.data_format = "channels_last" if is_turned else self._features.data_format

    def _connect(self, layer: SavedLayer) -> None:
        check_weights(layer)
        if self.data_format is None:
            refuse(layer, "reads maps that are not flattened", "Flatten before it")
        if len(self.weighted) > _DENSE:
            refuse(layer, "comes after the third dense layer", "nothing")
        if self._due:
            refuse(self._due, "has no activation", "relu")
        self._due = layer
        self._activate(layer, f"has the activation {activation(layer)}", activation(layer))

    def _activate(self, layer: SavedLayer, says: str, name: str) -> None:
        if name == "linear":
            return
        is_last = len(self.weighted) == _DENSE
        if name == "softmax" and is_last and not self._has_softmax:
            self._has_softmax = True
        elif name == "relu" and not is_last:
            self._due = None
        else:
            refuse(layer, says, "softmax or nothing" if is_last else "relu")
