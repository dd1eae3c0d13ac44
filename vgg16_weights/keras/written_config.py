"""What Keras's ``config.json`` says of a VGG: the functional model, layer by layer.

The structure is what Keras 3.15 writes for ``keras_impl.functional``; a setting that Keras would
fill in by itself stands here only where older versions of Keras 3 know it too.
"""

from __future__ import annotations

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

INPUT: Final = "input_layer"
_DROPOUT: Final = {"rate": 0.5, "seed": None, "noise_shape": None}


def model_config(configuration: Configuration) -> Config:
    """The content of ``config.json``: the model that ``keras_impl.functional`` builds."""
    shapes = configuration.output_shapes()
    below, shape = INPUT, _shape(configuration.input_shape, configuration.include_top)
    settings = {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": INPUT}
    layers = [_object("keras.layers", "InputLayer", settings, INPUT) | {"inbound_nodes": []}]
    for layer in configuration.layers:
        layers.append(_layer(*_settings(layer), layer.name, below, shape))
        below, shape = layer.name, _shape(shapes[layer.name], configuration.include_top)
        if _has_dropout(layer):
            layers.append(_layer("Dropout", _DROPOUT, f"{layer.name}_dropout", below, shape))
            below = f"{layer.name}_dropout"
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


def dropout_names(configuration: Configuration) -> list[str]:
    """The layers that drop some of a dense layer's outputs in training."""
    return [f"{layer.name}_dropout" for layer in configuration.layers if _has_dropout(layer)]


def _has_dropout(layer: Layer) -> bool:
    return isinstance(layer, Dense) and layer.relu


def _settings(layer: Layer) -> tuple[str, Config]:
    """The class of a layer of this kind, and what is particular to it; images are (N, H, W, C)."""
    variables = {
        "use_bias": True,
        "kernel_initializer": _object("keras.initializers", "GlorotUniform", {"seed": None}),
        "bias_initializer": _object("keras.initializers", "Zeros", {}),
    }
    match layer:
        case Convolution():
            return "Conv2D", {
                "filters": layer.out_channels,
                "kernel_size": [layer.kernel_size] * 2,
                "strides": [1, 1],
                "padding": "same",
                "data_format": "channels_last",
                "dilation_rate": [1, 1],
                "groups": 1,
                "activation": "relu",
                **variables,
            }
        case MaxPooling():
            return "MaxPooling2D", {
                "pool_size": [POOLING_SIZE] * 2,
                "padding": "valid",
                "strides": [POOLING_SIZE] * 2,
                "data_format": "channels_last",
            }
        case Flatten():
            return "Flatten", {"data_format": "channels_last"}
        case Dense():
            activation = "relu" if layer.relu else "softmax"
            return "Dense", {"units": layer.out_features, "activation": activation, **variables}


def _layer(kind: str, settings: Config, name: str, below: str, shape: list[int | None]) -> Config:
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
