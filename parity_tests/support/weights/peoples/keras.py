"""What people save with Keras: whole models and their weights, by Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import keras

from parity_tests.support.weights.keras_models import (
    K,
    Layers,
    changed,
    in_front,
    instead,
    vgg_layers,
)
from parity_tests.support.weights.older_keras import layers_of
from vgg16_spec.checkpoint import Checkpoint

MEAN: Final = (120.0, 115.0, 100.0)
VARIANCE: Final = (3600.0, 3364.0, 3249.0)


def model(
    layers: Layers,
    truth: Checkpoint,
    *,
    channels_first: bool = False,
    shape: tuple[int, ...] = (64, 64, 3),
) -> keras.Model:
    """A functional model of layers, whose convolutions and dense layers have the truth's values."""
    outputs = inputs = keras.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    arrays = iter(layers_of(truth, channels_first=channels_first).values())
    for layer in layers:
        if isinstance(layer, K.Conv2D | K.Dense):
            layer.set_weights(list(next(arrays)))
    return keras.Model(inputs, outputs)


def channels_first(truth: Checkpoint) -> keras.Model:
    layers = vgg_layers(truth, data_format="channels_first")
    return model(layers, truth, channels_first=True, shape=(3, 64, 64))


def rescaled(truth: Checkpoint) -> keras.Model:
    rescaling = partial(K.Rescaling, 1 / 255, name="pixels")
    return model(in_front(rescaling)(vgg_layers(truth)), truth)


def normalised(truth: Checkpoint) -> keras.Model:
    layer = partial(K.Normalization, mean=MEAN, variance=VARIANCE, name="normalization")
    return model(in_front(layer)(vgg_layers(truth)), truth)


def average_pooling(truth: Checkpoint) -> keras.Model:
    layers = vgg_layers(truth)
    for block in range(1, 6):
        pool = partial(K.AveragePooling2D, 2, name=f"average_{block}")
        layers = instead(f"block{block}_pool", pool)(layers)
    return model(layers, truth)


def other_activation(truth: Checkpoint) -> keras.Model:
    return model(changed("block4_conv3", activation="swish")(vgg_layers(truth)), truth)


def function(truth: Checkpoint) -> keras.Model:
    shape = (64, 64, 3)
    halved = partial(K.Lambda, lambda images: images / 2.0, output_shape=shape, name="lambda")
    return model(in_front(halved)(vgg_layers(truth)), truth)


def named_by_keras(truth: Checkpoint) -> keras.Model:
    """``conv2d``, ``conv2d_1`` to ``conv2d_12``, ``dense`` to ``dense_2``, as in a new session."""
    layers = []
    kinds = {K.Conv2D: "conv2d", K.Dense: "dense", K.MaxPooling2D: "max_pooling2d"}
    counts = dict.fromkeys(kinds.values(), 0)
    for layer in vgg_layers(truth):
        if (kind := kinds.get(type(layer))) is not None:
            name = f"{kind}_{counts[kind]}" if counts[kind] else kind
            counts[kind] += 1
            layer = type(layer).from_config(layer.get_config() | {"name": name})
        layers.append(layer)
    return model(layers, truth)


def transferred(truth: Checkpoint) -> keras.Model:
    """The convolutions as one layer, below an average of the maps and a new dense layer."""
    convolutions = vgg_layers(truth)[:-5]
    base = model(convolutions, truth)
    base.name = "backbone"
    base.trainable = False
    inputs = keras.Input((64, 64, 3))
    maps = K.GlobalAveragePooling2D()(K.MaxPooling2D()(base(inputs)))
    return keras.Model(inputs, K.Dense(6, activation="softmax", name="flowers")(maps))


WHOLE: Final = (".keras", ".h5")
# A file's name without its ending -> what makes the model, and the endings that it is saved with.
MODELS: Final[dict[str, tuple[Callable[[Checkpoint], Any], tuple[str, ...]]]] = {
    "channels_first": (channels_first, (*WHOLE, ".weights.h5")),
    "rescaled": (rescaled, WHOLE),
    "normalised": (normalised, WHOLE),
    "average_pooling": (average_pooling, WHOLE),
    "other_activation": (other_activation, WHOLE),
    "function": (function, WHOLE),
    "named_by_keras": (named_by_keras, (*WHOLE, ".weights.h5")),
    "transferred": (transferred, (*WHOLE, ".weights.h5")),
}


def save_all(truth: Checkpoint, stem: str, folder: Path) -> None:
    """Build a model once, and save it with each of its endings."""
    build, endings = MODELS[stem]
    made = build(truth)
    for ending in endings:
        path = folder / f"{stem}{ending}"
        made.save_weights(path) if ending == ".weights.h5" else made.save(path)
