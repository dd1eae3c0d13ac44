"""Refuses a saved model that names more than Keras's own classes, or contains code.

Nothing that a file names is looked up here, and none of its code runs. But whoever opens it with
Keras runs its code, and older versions import the module that it names; others may be given it.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from vgg16_weights.keras.whole_model.configuration import (
    Config,
    HoldsCode,
    NamesOthers,
    settings_of,
    shortened,
)
from vgg16_weights.keras.whole_model.keras_classes import (
    KERAS_CLASSES,
    KERAS_FUNCTIONS,
    TENSORFLOW_FUNCTIONS,
)

# The packages of Keras's own classes, and those of operations on tensors: pure functions, each of
# which is a class.
_KERAS: Final = ("keras", "tf_keras", "tensorflow")
_OPERATIONS: Final = ("keras.src.ops.", "keras.ops.")
_FUNCTION: Final = "function"
# A function saved as code, and the layers whose settings hold code or name a program to load. They
# are not on the list of what is allowed; here they have their names in the message.
_SAVED_CODE: Final = "__lambda__"
_CODE: Final = (
    *(_SAVED_CODE, "Lambda", "Merge", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("TFSMLayer", "TensorFlowOpLayer"),
)
# How the model was compiled for training. That is no part of the network, and may name what is
# somebody's own: an optimiser, a loss.
_TRAINING: Final = "compile_config"


def check_keras_only(config: object) -> None:
    """Raise `HoldsCode` for code, and `NamesOthers` for a class that is not Keras's.

    The model itself may be of somebody's own class, as long as that is in no module of Python's
    own, and so may what it was compiled with.
    """
    found = [(config, False)]
    while found:
        item, in_training = found.pop()
        if isinstance(item, list):
            found += [(each, in_training) for each in item]
        elif isinstance(item, dict):
            found += [(each, in_training or key == _TRAINING) for key, each in item.items()]
            if isinstance(item.get("class_name"), str):
                _check_no_code(item)
                is_model = item is config and _package(item) not in sys.stdlib_module_names
                if not in_training and not is_model and not _is_keras(item):
                    raise NamesOthers(_named(item))


def _check_no_code(item: Config) -> None:
    kind = _plain(item["class_name"])
    if kind in _CODE:
        name = settings_of(item).get("name", "")
        what = f"{kind} layer {shortened(str(name))}" if name else f"{kind} layer"
        raise HoldsCode(
            f"it contains code: {'a function saved as code' if kind == _SAVED_CODE else what}"
        )


def _is_keras(item: Config) -> bool:
    kind, registered = item["class_name"], item.get("registered_name")
    plain = _plain(kind)
    if ">" in kind or registered not in (None, plain):
        return bool(kind == registered == _FUNCTION)
    module, package = item.get("module"), _package(item)
    if plain == _FUNCTION:
        is_known = item.get("config") in KERAS_FUNCTIONS
        return is_known and (package in _KERAS or module == "builtins")
    if package not in _KERAS:
        return False
    if isinstance(module, str) and module.startswith(_OPERATIONS):
        return True
    function = settings_of(item).get("function") if plain == "TFOpLambda" else None
    if isinstance(function, str) and function.partition(".")[0] not in TENSORFLOW_FUNCTIONS:
        return False
    return plain in KERAS_CLASSES


def _plain(kind: str) -> str:
    """A class without its module or its package."""
    return re.split("[.>]", kind)[-1]


def _package(item: Config) -> str:
    """The package of a class; Keras where none is said."""
    module = item.get("module")
    if module is None:
        module = item["class_name"].rpartition(".")[0] or "keras"
    return str(module).partition(".")[0]


def _named(item: Config) -> str:
    """What is not Keras's, and in which layer."""
    kind, module, registered = item["class_name"], item.get("module"), item.get("registered_name")
    if kind == _FUNCTION:
        kind = str(item.get("config"))
    full = f"{module}.{kind}" if isinstance(module, str) else kind
    full = registered if isinstance(registered, str) and ">" in registered else full
    name = item.get("name") or settings_of(item).get("name")
    if isinstance(name, str):
        return f"layer {shortened(name)} has a class that is not Keras's: {shortened(full)}"
    return f"it names {shortened(full)}, which is not Keras's"
