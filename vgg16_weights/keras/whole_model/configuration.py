"""What the readers of a saved model share: its layers, their names, and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

Config = Mapping[str, Any]

_MOST_LETTERS: Final = 64


class NotThisNetwork(ValueError):
    """A model does not compute what a VGG computes. The message names the layer."""


class HoldsCode(ValueError):
    """A configuration contains code."""


class NamesOthers(ValueError):
    """A configuration names a class or a function that is not Keras's."""


class NoChain(NotThisNetwork):
    """A model whose layers are not a chain: its data takes more than one path."""


class SavedLayer(NamedTuple):
    """A layer that is not a model itself.

    Attributes:
        kind: its class, without the module.
        name: its name in the model.
        path: its name after those of the models that contain it: ``vgg16/block1_conv1``.
        settings: the arguments of its constructor.
        in_training: whether the model always calls it in training mode.
    """

    kind: str
    name: str
    path: str
    settings: Config
    in_training: bool = False

    def __str__(self) -> str:
        return f"{_cut(self.kind)} layer {shortened(self.name)}"


def shortened(name: str) -> str:
    """A name of any length in quotes, cut and escaped to fit one line."""
    return repr(_cut(name))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def refuse(layer: SavedLayer, says: str, has: str = "") -> NoReturn:
    """Raise `NotThisNetwork` for a layer: what is wrong, and what a VGG has in its place."""
    raise NotThisNetwork(f"{layer} {_cut(says)}" + (f", where a VGG has {has}" if has else ""))


def settings_of(layer: Config) -> Config:
    """The arguments of a layer's constructor; none if it does not state them."""
    settings = layer.get("config")
    return settings if isinstance(settings, dict) else {}


def name_of(layer: Config) -> str:
    """A layer's name in the model. Raises ``ValueError`` if it has none."""
    name = layer.get("name") or settings_of(layer).get("name")
    if name is None and isinstance(layer.get("config"), list):
        return "model"  # Keras 1's Sequential has none
    if not isinstance(name, str):
        raise ValueError("one of its layers has no name")
    return name
