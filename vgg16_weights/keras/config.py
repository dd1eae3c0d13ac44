"""What Keras's ``config.json`` says of a VGG: the functional model, layer by layer.

The structure is what Keras 3.15 writes for ``keras_impl.functional``; a setting that Keras would
fill in by itself stands here only where older versions of Keras 3 know it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vgg16_spec.architecture import (
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
    Shape,
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
    shapes = configuration.output_shapes()
    shape = _shape(configuration.input_shape, configuration.include_top)
    settings = {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": INPUT}
    layers: list[Config] = [_object("keras.layers", "InputLayer", settings, INPUT)]
    layers[0]["inbound_nodes"] = []
    below = INPUT
    for layer in configuration.layers:
        layers.append(_layer(_CLASSES[type(layer)], layer.name, _settings(layer), below, shape))
        below = layer.name
        shape = _shape(shapes[layer.name], configuration.include_top)
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


def _shape(shape: Shape, include_top: bool) -> list[int | None]:
    """(C, H, W) -> (N, H, W, C), (features,) -> (N, features); ``None`` for a size that is open."""
    if len(shape) == 1:
        return [None, *shape]
    channels, *sides = shape
    return [None, *(sides if include_top else [None, None]), channels]
