"""Keras models as people build them: a VGG's layers in a list, changed, and their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from vgg16_spec import architecture
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.layouts import canonical_to_keras

K: Final = keras.layers
Layers = list[keras.Layer]
# Makes of a network's layers others.
Change = Callable[[Layers], Layers]


def vgg_layers(checkpoint: Checkpoint, **options: Any) -> Layers:
    """A VGG's layers under canonical names, without values; options go to every convolution."""
    layers = []
    maps = {key: value for key, value in options.items() if key == "data_format"}
    for layer in checkpoint.configuration.layers:
        match layer:
            case architecture.Convolution():
                given = {"padding": "same", "activation": "relu"} | options
                layers.append(K.Conv2D(layer.out_channels, 3, name=layer.name, **given))
            case architecture.MaxPooling():
                layers.append(K.MaxPooling2D(name=layer.name, **maps))
            case architecture.Flatten():
                layers.append(K.Flatten(name=layer.name, data_format="channels_last"))
            case architecture.Dense():
                activation = "relu" if layer.relu else None
                layers.append(K.Dense(layer.out_features, activation, name=layer.name))
    return layers


def model_of(
    layers: Layers,
    checkpoint: Checkpoint,
    shape: tuple[int | None, ...] = (64, 64, 3),
    form: str = "sequential",
) -> keras.Model:
    """The layers as a model, with a checkpoint's values wherever they fit."""
    inputs = keras.Input(shape)
    if form == "sequential":
        model = keras.Sequential([inputs, *layers])
    else:
        outputs = inputs
        for layer in layers:
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
    set_values(model, checkpoint)
    return model


def set_values(model: Any, checkpoint: Checkpoint) -> None:
    """Give a model's layers, at any depth, the values of the canonical ones of their names."""
    feature_shape = checkpoint.configuration.feature_shape
    for layer in model.layers:
        if hasattr(layer, "layers"):
            set_values(layer, checkpoint)
        arrays = [
            np.ascontiguousarray(canonical_to_keras(name, checkpoint[name], feature_shape))
            for part in ("weight", "bias")
            if (name := f"{layer.name}.{part}") in checkpoint
        ]
        if arrays and [a.shape for a in arrays] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(arrays)


def pixels(most: float = 255) -> NDArray[np.float32]:
    """Two pictures of noise from zero up, (N, H, W, 3)."""
    return np.random.default_rng(7).uniform(0, most, (2, 64, 64, 3)).astype(np.float32)


def at(name: str, *others: Any, keep: bool = True, before: bool = False) -> Change:
    """Put makers of layers behind, in front or in place of the layer of a name."""

    def change(layers: Layers) -> Layers:
        changed: Layers = []
        for layer in layers:
            here = [make() for make in others] if layer.name == name else []
            kept = [layer] if keep or layer.name != name else []
            changed += [*here, *kept] if before else [*kept, *here]
        assert any(layer.name == name for layer in layers), name
        return changed

    return change


def instead(name: str, *others: Any) -> Change:
    """Put makers of layers in place of the layer of a name."""
    return at(name, *others, keep=False)


def in_front(*others: Any) -> Change:
    """Put makers of layers before the first."""
    return lambda layers: [*(make() for make in others), *layers]


def changed(name: str, **settings: Any) -> Change:
    """Make a layer anew with other settings."""

    def change(layers: Layers) -> Layers:
        return [
            type(layer).from_config(layer.get_config() | settings) if layer.name == name else layer
            for layer in layers
        ]

    return change


def both(*changes: Change) -> Change:
    """One change after another."""

    def change(layers: Layers) -> Layers:
        for one in changes:
            layers = one(layers)
        return layers

    return change


def activated(name: str, make: Any) -> Change:
    """Put an activation's own layer in place of that of a layer."""
    return both(changed(name, activation=None), at(name, make))
