"""What the reading of a saved model goes by: its layers, their names, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

Config = Mapping[str, Any]

_MOST_LETTERS: Final = 64


class NotThisNetwork(ValueError):
    """What a model computes is not what a VGG computes. The message names the layer."""


class HoldsCode(ValueError):
    """A configuration has code in it."""


class NoChain(NotThisNetwork):
    """A model in which data takes more than one way."""


class SavedLayer(NamedTuple):
    """A layer that is no model.

    Attributes:
        kind: its class, without the module.
        name: what the model calls it.
        path: its name below those of the models that it is in: ``vgg16/block1_conv1``.
        settings: what it was made with.
        in_training: whether the model calls it as in training, always.
    """

    kind: str
    name: str
    path: str
    settings: Config
    in_training: bool = False

    def __str__(self) -> str:
        return f"{_cut(self.kind)} layer {shortened(self.name)}"


def shortened(name: str) -> str:
    """A name in quotes, of any length and in any letters, for one line."""
    return repr(_cut(name))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def refuse(layer: SavedLayer, says: str, has: str = "") -> NoReturn:
    """Raise `NotThisNetwork` for what a layer says, and what a VGG has in its place."""
    raise NotThisNetwork(f"{layer} {_cut(says)}" + (f", where a VGG has {has}" if has else ""))


def settings_of(layer: Config) -> Config:
    """What a layer was made with; nothing where it does not say."""
    settings = layer.get("config")
    return settings if isinstance(settings, dict) else {}


def name_of(layer: Config) -> str:
    """What the model calls a layer. Raises ``ValueError`` where it does not say."""
    name = layer.get("name") or settings_of(layer).get("name")
    if name is None and isinstance(layer.get("config"), list):
        return "model"  # Keras 1's Sequential has none
    if not isinstance(name, str):
        raise ValueError("one of its layers has no name")
    return name
