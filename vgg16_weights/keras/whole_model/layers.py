"""A saved Keras model's layers, in the order in which data flows through them.

The configuration of a whole model is JSON: a list of layers (``Sequential``), or a graph of them
(``Functional``, which Keras 1 and 2 call ``Model``), in which any layer may be a model again. It is
read as data; nothing of Keras is imported, and nothing that the file names is made or called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from vgg16_weights.keras.whole_model.configuration import (
    Config,
    HoldsCode,
    NotThisNetwork,
    SavedLayer,
    name_of,
    settings_of,
    shortened,
)
from vgg16_weights.keras.whole_model.graph import IS_FIRST, OPERAND, chain

# Larger and deeper than any model is.
MOST_BYTES: Final = 1 << 22
_MOST_LEVELS: Final = 16
# The packages that Keras's own layers are in.
_KERAS: Final = ("keras", "tf_keras", "tensorflow")
# A function saved as code, and the layers whose settings hold code or name a program to load.
_FUNCTION: Final = "__lambda__"
_CODE: Final = (_FUNCTION, "Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")
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

    Raises ``ValueError`` for text that is too long or is not JSON, and `HoldsCode`.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES} bytes")
    try:
        config = json.loads(text)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its configuration is not JSON ({error})") from error
    _check_no_code(config)
    return config if isinstance(config, dict) and _layers(config) is not None else None


def layers(config: Config) -> Iterator[SavedLayer]:
    """The layers of a model, from its input to its output.

    Raises `NotThisNetwork` where the model stops being a chain, after giving the layers before, and
    ``ValueError`` for an invalid configuration.
    """
    return _walk(config, "", level=0, in_training=False)


def _check_no_code(config: object) -> None:
    """Raise `HoldsCode` for code, which runs when the file is opened with Keras.

    None of it runs here, but others may be given the file.
    """
    found = [config]
    while found:
        item = found.pop()
        if isinstance(item, list):
            found += item
        elif isinstance(item, dict):
            found += item.values()
            kind = re.split("[.>]", str(item.get("class_name")))[-1]
            if kind in _CODE:
                settings = item.get("config")
                name = settings.get("name", "") if isinstance(settings, dict) else ""
                what = f"{kind} layer {shortened(str(name))}".rstrip()
                raise HoldsCode(
                    f"it contains code: {'a function saved as code' if kind == _FUNCTION else what}"
                )


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
    """A layer's class, without its module.

    Raises `NotThisNetwork` for a class of the user's, which may compute anything.
    """
    kind, registered = layer.get("class_name"), layer.get("registered_name")
    if not isinstance(kind, str):
        raise ValueError("one of its layers has no class")
    module, _, plain = kind.rpartition(".")
    module = layer.get("module", module or "keras")
    is_own = not isinstance(module, str) or module.partition(".")[0] not in _KERAS
    if is_own or ">" in kind or ">" in str(registered):
        name = shortened(name_of(layer))
        raise NotThisNetwork(f"layer {name} has a class that is not Keras's: {shortened(kind)}")
    function = settings_of(layer).get("function")
    if plain == "TFOpLambda" and isinstance(function, str):
        return _FUNCTIONS.get(function, plain)
    return plain
