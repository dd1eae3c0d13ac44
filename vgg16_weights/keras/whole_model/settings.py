"""A Keras layer's settings, under the same names for every version of Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vgg16_weights.contents import DataFormat
from vgg16_weights.keras.whole_model.configuration import SavedLayer, refuse, shortened

# Setting -> its name in Keras 1.
_KERAS_1: Final = {
    "filters": "nb_filter",
    "strides": "subsample",
    "padding": "border_mode",
    "data_format": "dim_ordering",
    "use_bias": "bias",
}
_DIM_ORDERING: Final = {"th": "channels_first", "tf": "channels_last"}
_QUANTISED: Final = re.compile("int8|int4|float8|quantized", re.IGNORECASE)
# Layers that apply one function to each value, except `Activation` itself.
_ACTIVATIONS: Final = {
    "ReLU": "relu",
    "Softmax": "softmax",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "ThresholdedReLU": "thresholded_relu",
}
ACTIVATION_LAYERS: Final = ("Activation", *_ACTIVATIONS)


def setting(layer: SavedLayer, name: str, default: Any = None) -> Any:
    """A setting, under the name of any version of Keras; the default if it is missing."""
    settings = layer.settings
    return settings.get(name, settings.get(_KERAS_1.get(name, name), default))


def pair(layer: SavedLayer, name: str, default: tuple[int, int]) -> tuple[int, int]:
    """A setting for height and width. Raises ``ValueError`` for anything else."""
    value = setting(layer, name)
    if name == "kernel_size" and value is None:
        value = [layer.settings.get("nb_row"), layer.settings.get("nb_col")]
    match value:
        case None:
            return default
        case int(both):
            return both, both
        case [int(height), int(width)]:
            return height, width
    raise ValueError(f"the {name} of {layer} is not a pair of numbers")


def whole(layer: SavedLayer, name: str, default: int | None = None) -> int:
    """A setting that is a whole number. Raises ``ValueError`` for anything else."""
    value = setting(layer, name, default)
    if not isinstance(value, int):
        raise ValueError(f"the {name} of {layer} is not a whole number")
    return value


def data_format(layer: SavedLayer) -> DataFormat:
    """The order of the maps' axes; ``channels_last`` if it is not stated."""
    value = setting(layer, "data_format")
    match _DIM_ORDERING.get(value, value) if isinstance(value, str) else value:
        case "channels_last" | None:
            return "channels_last"
        case "channels_first":
            return "channels_first"
    raise ValueError(f"the data_format of {layer} is {shortened(str(value))}")


def border(layer: SavedLayer) -> tuple[int, ...] | None:
    """The rows above and below and the columns left and right that zero padding adds."""
    match layer.settings.get("padding"):
        case int(n):
            return (n,) * 4
        case [int(rows), int(columns)]:
            return rows, rows, columns, columns
        case [[int(top), int(bottom)], [int(left), int(right)]]:
            return top, bottom, left, right
    return None


def activation(layer: SavedLayer) -> str:
    """The name of a layer's activation; ``linear`` for none."""
    if layer.kind == "Activation" or layer.kind not in ACTIVATION_LAYERS:
        return _activation(layer.settings.get("activation"))
    return _layer_activation(layer.kind, layer.settings)


def _activation(value: object) -> str:
    match value:
        case None:
            return "linear"
        case str():
            return value
        case {"class_name": "function", "config": str(name), **others}:
            module = str(others.get("module"))
            is_keras = module in ("None", "builtins") or module.partition(".")[0] == "keras"
            return name if is_keras else f"{module}.{name}"
        case {"class_name": str(kind), "config": dict(settings)}:
            return _layer_activation(kind, settings)
    return f"{value}"


def _layer_activation(kind: str, settings: Mapping[str, Any]) -> str:
    name = _ACTIVATIONS.get(kind, kind)
    if kind == "Activation":
        return _activation(settings.get("activation"))
    if kind == "ReLU":
        changed = [k for k in ("max_value", "negative_slope", "threshold") if settings.get(k)]
        # A limit of zero makes every value zero.
        changed += ["max_value"] * (settings.get("max_value") == 0)
        return f"relu with {changed[0]} {settings[changed[0]]}" if changed else name
    if kind == "Softmax" and settings.get("axis", -1) not in (-1, 1, [-1], [1]):
        return f"softmax along the axis {settings['axis']}"
    return name


def _is_quantised(layer: SavedLayer) -> bool:
    """Whether a layer is quantised, so that its weights have another form."""
    policy = layer.settings.get("dtype")
    return bool(_QUANTISED.search(str(policy))) or bool(layer.settings.get("quantization_config"))


def check_weights(layer: SavedLayer) -> None:
    """Raise `NotThisNetwork` for a layer without a bias, or a quantised one."""
    if not setting(layer, "use_bias", True):
        refuse(layer, "has no bias", "one")
    if _is_quantised(layer):
        refuse(layer, "is quantised", "floating point")
