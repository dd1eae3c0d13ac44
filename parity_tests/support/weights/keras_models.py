"""Keras models as people build them: a VGG's layers in a list, changed, and what they compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from parity_tests.support.helpers import judge_logits, judge_probabilities
from vgg16_spec import architecture
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.layouts import canonical_to_keras
from vgg16_weights.keras.whole_model.layers import parsed
from vgg16_weights.keras.whole_model.model_config import ModelConfiguration, read_configuration

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


NOISE: Final = pixels(20)


def nothing(_: str) -> list[Any]:
    """No layer has arrays that are no weights."""
    return []


def stated(model: Any) -> ModelConfiguration:
    """What a model's configuration says, as Keras writes it."""
    config = parsed(model.to_json())
    assert config is not None
    return read_configuration(config, nothing)


def assert_differs(model: Any, checkpoint: Checkpoint) -> None:
    """The model computes neither the network's logits nor their softmax."""
    theirs = np.asarray(model(NOISE, training=False))
    assert np.isfinite(theirs).all()
    for judge in (judge_logits, judge_probabilities):
        assert not judge(theirs, checkpoint, NOISE.transpose(0, 3, 1, 2)).passed


def assert_same_with(recipe: Recipe, model: Any, checkpoint: Checkpoint) -> None:
    """The network with the recipe computes what the model computes of raw pixels."""
    images = pixels()
    ordered = images[..., ::-1] if recipe.channels == "BGR" else images
    prepared = (ordered / recipe.scale - recipe.mean) / recipe.std
    theirs = np.asarray(model(images, training=False))
    verdict = judge_logits(theirs, checkpoint, prepared.transpose(0, 3, 1, 2))
    assert verdict.passed, verdict.reason


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


def padded(name: str, by: Any, /, **settings: Any) -> Change:
    """Put a padding of its own in front of a convolution, in place of the convolution's."""
    padding = partial(K.ZeroPadding2D, by, **settings)
    return both(changed(name, padding="valid"), at(name, padding, before=True))
