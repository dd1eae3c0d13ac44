"""What Keras's ``config.json`` says of a VGG: the functional model, layer by layer.

The structure is what Keras 3.15 writes for ``keras_impl.functional``; a setting that Keras would
fill in by itself stands here only where older versions of Keras 3 know it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vgg16_spec.architecture import (
    IMAGE_CHANNELS,
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
)

Config = dict[str, Any]

_DROPOUT: Final = 0.5
INPUT: Final = "input_layer"
_CLASSES: Final[Mapping[type[Layer], str]] = {
    Convolution: "Conv2D",
    MaxPooling: "MaxPooling2D",
    Flatten: "Flatten",
    Dense: "Dense",
}


def model_config(configuration: Configuration) -> Config:
    """The content of ``config.json``: the model that ``keras_impl.functional`` builds."""
    size = configuration.input_size if configuration.include_top else None
    shape: list[int | None] = [None, size, size, IMAGE_CHANNELS]
    settings = {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": INPUT}
    layers: list[Config] = [_object("keras.layers", "InputLayer", settings, INPUT)]
    layers[0]["inbound_nodes"] = []
    below = INPUT
    for layer in configuration.layers:
        layers.append(_layer(_CLASSES[type(layer)], layer.name, _settings(layer), below, shape))
        below, shape = layer.name, _output_shape(layer, shape)
        if has_dropout(layer):
            name = f"{layer.name}_dropout"
            settings = {"rate": _DROPOUT, "seed": None, "noise_shape": None}
            layers.append(_layer("Dropout", name, settings, below, shape))
            below = name
    model = {
        "name": model_name(configuration),
        "trainable": True,
        "layers": layers,
        "input_layers": [INPUT, 0, 0],
        "output_layers": [below, 0, 0],
    }
    saved = _object("keras.src.models.functional", "Functional", model)
    return saved | {"registered_name": "Functional", "build_config": {"input_shape": None}}


def model_name(configuration: Configuration) -> str:
    """What ``keras_impl.functional`` calls the model."""
    return f"vgg_{configuration.name.lower()}"


def has_dropout(layer: Layer) -> bool:
    """Whether a layer of its own drops some of this one's outputs in training."""
    return isinstance(layer, Dense) and layer.relu


def _settings(layer: Layer) -> Config:
    """What is particular to a layer of this kind; images are (N, H, W, C)."""
    match layer:
        case Convolution():
            return {
                "filters": layer.out_channels,
                "kernel_size": [layer.kernel_size] * 2,
                "strides": [1, 1],
                "padding": "same",
                "data_format": "channels_last",
                "dilation_rate": [1, 1],
                "groups": 1,
                "activation": "relu",
                **_initializers(),
            }
        case MaxPooling():
            return {
                "pool_size": [POOLING_SIZE] * 2,
                "padding": "valid",
                "strides": [POOLING_SIZE] * 2,
                "data_format": "channels_last",
            }
        case Flatten():
            return {"data_format": "channels_last"}
        case Dense():
            activation = "relu" if layer.relu else "softmax"
            return {"units": layer.out_features, "activation": activation, **_initializers()}


def _initializers() -> Config:
    return {
        "use_bias": True,
        "kernel_initializer": _object("keras.initializers", "GlorotUniform", {"seed": None}),
        "bias_initializer": _object("keras.initializers", "Zeros", {}),
    }


def _layer(kind: str, name: str, settings: Config, below: str, shape: list[int | None]) -> Config:
    """A layer that reads what the one below gives: (N, H, W, C) or (N, features)."""
    policy = _object("keras", "DTypePolicy", {"name": "float32"})
    settings = {"name": name, "trainable": True, "dtype": policy, **settings}
    history = {"shape": shape, "dtype": "float32", "keras_history": [below, 0, 0]}
    tensor = {"class_name": "__keras_tensor__", "config": history}
    return _object("keras.layers", kind, settings, name) | {
        "build_config": {"input_shape": shape},
        "inbound_nodes": [{"args": [tensor], "kwargs": {}}],
    }


def _object(module: str, kind: str, settings: Config, name: str | None = None) -> Config:
    """What Keras writes for anything that it can make again."""
    made = {"module": module, "class_name": kind, "config": settings, "registered_name": None}
    return made if name is None else made | {"name": name}


def _output_shape(layer: Layer, shape: list[int | None]) -> list[int | None]:
    """(N, H, W, C) -> the same after a layer; ``None`` for a size that is not fixed."""
    match layer:
        case Convolution():
            return [*shape[:-1], layer.out_channels]
        case MaxPooling():
            batch, *sides, channels = shape
            return [batch, *(side and side // POOLING_SIZE for side in sides), channels]
        case Flatten():
            total = 1
            for side in shape[1:]:
                total *= side or 1
            return [shape[0], total]
        case Dense():
            return [shape[0], layer.out_features]
