"""A saved Keras model's layers, in the order in which data flows through them.

The configuration of a whole model is JSON: a list of layers (``Sequential``), or a graph of them
(``Functional``, which Keras 1 and 2 call ``Model``), in which any layer may be a model again. It is
read as data; nothing of Keras is imported, and nothing that the file names is made or called.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from vgg16_weights.keras.whole_model.configuration import (
    Config,
    SavedLayer,
    name_of,
    settings_of,
)
from vgg16_weights.keras.whole_model.graph import IS_FIRST, OPERAND, chain
from vgg16_weights.keras.whole_model.keras_only import check_keras_only

# Larger and deeper than any model is.
MOST_BYTES: Final = 1 << 22
_MOST_LEVELS: Final = 16
# Functions that Keras 2 saves as layers.
_FUNCTIONS: Final = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
}


def parsed(text: str | bytes) -> Config | None:
    """A model's configuration; ``None`` for one that lists no layers.

    Raises ``ValueError`` for text that is too long or is not JSON, and `HoldsCode`
    and `NamesOthers`.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES} bytes")
    try:
        config = json.loads(text)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its configuration is not JSON ({error})") from error
    check_keras_only(config)
    return config if isinstance(config, dict) and _layers(config) is not None else None


def layers(config: Config) -> Iterator[SavedLayer]:
    """The layers of a model, from its input to its output.

    Raises `NotThisNetwork` where the model stops being a chain, after giving the layers before, and
    ``ValueError`` for an invalid configuration.
    """
    return _walk(config, "", level=0, in_training=False)


def _walk(model: Config, path: str, *, level: int, in_training: bool) -> Iterator[SavedLayer]:
    if level > _MOST_LEVELS:
        raise ValueError(f"its models are nested more than {_MOST_LEVELS} deep")
    listed = _layers(model) or []
    settings = settings_of(model)
    rows: Iterable[tuple[Config, Config]] = ((layer, {}) for layer in listed)
    for layer, called in chain(settings, listed) if "input_layers" in settings else rows:
        kind, name = _kind(layer), name_of(layer)
        always = in_training or called.get("training") is True
        below = f"{path}{name}"
        if _layers(layer) is not None:
            yield from _walk(layer, f"{below}/", level=level + 1, in_training=always)
        else:
            operand = {key: called[key] for key in (OPERAND, IS_FIRST) if key in called}
            yield SavedLayer(kind, name, below, {**settings_of(layer), **operand}, always)


def _layers(config: object) -> list[Config] | None:
    """The layers that a model lists; ``None`` for a layer that is not a model."""
    settings = config.get("config") if isinstance(config, dict) else None
    # Keras 1 and early versions of 2 write a Sequential's layers as a bare list.
    listed = settings.get("layers") if isinstance(settings, dict) else settings
    if not isinstance(listed, list):
        return None
    if not all(isinstance(layer, dict) for layer in listed):
        raise ValueError("one of its layers is not a dictionary")
    return listed


def _kind(layer: Config) -> str:
    """A layer's class, without its module."""
    kind = layer.get("class_name")
    if not isinstance(kind, str):
        raise ValueError("one of its layers has no class")
    plain = kind.rpartition(".")[2]
    function = settings_of(layer).get("function")
    if plain == "TFOpLambda" and isinstance(function, str):
        return _FUNCTIONS.get(function, plain)
    return plain
