"""A saved Keras model's layers, in the order in which data flows through them.

The configuration of a whole model is JSON: a list of layers (``Sequential``), or a graph of them
(``Functional``, which Keras 1 and 2 call ``Model``), in which any layer may be a model again. It is
read as data; nothing of Keras is imported, and nothing that the file names is made or called.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

Config = Mapping[str, Any]

# Larger and deeper than any model is.
MOST_BYTES: Final = 1 << 22
_MOST_LEVELS: Final = 16
_MOST_LETTERS: Final = 64
# The packages that Keras's own layers are in.
_KERAS: Final = ("keras", "tf_keras", "tensorflow")
# Layers of code, and functions saved as code.
_CODE: Final = ("Lambda", "__lambda__")
# What a layer may be called with beside its input, and still compute the same.
_HARMLESS: Final = ("training", "mask")


class NotThisNetwork(ValueError):
    """What a model computes is not what a VGG computes. The message names the layer."""


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


def parsed(text: str | bytes) -> Config | None:
    """A model's configuration; ``None`` for text that says nothing of layers.

    Raises ``ValueError`` for text that is too long, is no JSON or holds code.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"its configuration has more than {MOST_BYTES} bytes")
    try:
        config = json.loads(text)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its configuration is no JSON ({error})") from error
    _check_no_code(config)
    return config if isinstance(config, dict) and _layers(config) is not None else None


def layers(config: Config) -> Iterator[SavedLayer]:
    """The layers of a model, from its input to its output.

    Raises `NotThisNetwork` where the model is no chain, once the layers before have been given, and
    ``ValueError`` for a configuration that makes no sense.
    """
    return _walk(config, "", level=0, in_training=False)


def shortened(name: str) -> str:
    """A name in quotes, of any length and in any letters, for one line."""
    return repr(_cut(name))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _check_no_code(config: object) -> None:
    """Raise ``ValueError`` for code, which runs when the file is opened with Keras.

    Nothing of it runs here; whom the file is handed on to is better off with a refusal.
    """
    found = [config]
    while found:
        item = found.pop()
        if isinstance(item, list):
            found += item
        elif isinstance(item, dict):
            found += item.values()
            if item.get("class_name") in _CODE:
                settings = item.get("config")
                name = settings.get("name") if isinstance(settings, dict) else None
                what = f"Lambda layer {shortened(str(name))}" if name else "a function as code"
                raise ValueError(f"it has code in it: {what}")


def _walk(model: Config, path: str, *, level: int, in_training: bool) -> Iterator[SavedLayer]:
    if level > _MOST_LEVELS:
        raise ValueError(f"its models are nested more than {_MOST_LEVELS} deep")
    listed = _layers(model) or []
    settings = _settings(model)
    rows: Iterable[tuple[Config, Config]] = ((layer, {}) for layer in listed)
    for layer, called in _graph(settings, listed) if "input_layers" in settings else rows:
        kind, name = _kind(layer), _name(layer)
        always = in_training or called.get("training") is True
        below = f"{path}{name}"
        if _layers(layer) is not None:
            yield from _walk(layer, f"{below}/", level=level + 1, in_training=always)
        else:
            yield SavedLayer(kind, name, below, _settings(layer), always)


def _graph(model: Config, listed: list[Config]) -> Iterator[tuple[Config, Config]]:
    """The layers of a graph that is a chain, each with what it is called with beside its input."""
    by_name = {_name(layer): layer for layer in listed}
    if len(by_name) != len(listed):
        raise ValueError("two of its layers have the same name")
    calls = {name: _call(layer, name) for name, layer in by_name.items()}
    readers: dict[str, list[str]] = {}
    for name, call in calls.items():
        for source in dict.fromkeys(call.sources):
            readers.setdefault(source, []).append(name)
    current, left = _end(model, "input_layers"), set(by_name)
    while True:
        if current not in left:
            raise ValueError(
                f"its graph leads to {shortened(current)}, which is not there or twice"
            )
        left.remove(current)
        if calls[current].problem:
            raise NotThisNetwork(f"layer {shortened(current)} {calls[current].problem}")
        yield by_name[current], calls[current].settings
        match readers.get(current, []):
            case []:
                break
            case [following]:
                current = following
            case [*several]:
                raise NotThisNetwork(
                    f"{len(several)} layers read {shortened(current)}: it branches"
                )
    if left:
        raise NotThisNetwork(f"layer {shortened(min(left))} is not on the way from input to output")
    output = _end(model, "output_layers")
    if output != current:
        raise NotThisNetwork(f"its output is that of {shortened(output)}, before its last layer")


class _Call(NamedTuple):
    """How a graph calls a layer: on what, with what, and why that is not understood."""

    sources: list[str]
    settings: Config
    problem: str = ""


def _call(layer: Config, name: str) -> _Call:
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise ValueError(f"the inputs of layer {shortened(name)} are no list")
    histories: list[Any] = []
    settings: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, dict):  # Keras 3: {"args": [tensor], "kwargs": {}}
            histories += _histories(node.get("args"))
            given = [node.get("kwargs")]
        else:  # before: [[layer, number of its call, number of the call's output, {}]]
            histories += node if isinstance(node, list) else [node]
            given = [row[3] for row in histories if isinstance(row, list) and len(row) > 3]
        for row in given:
            settings |= row if isinstance(row, dict) else {"what is no dictionary": row}
        if isinstance(node, dict):
            settings.pop("training", None)  # Keras 3 puts the model's own mode over it
    sources = [_source(history) for history in histories]
    problem = ""
    if len(nodes) > 1:
        problem = f"is shared: it is called {len(nodes)} times"
    elif unknown := [
        *(k for k in settings if k not in _HARMLESS),
        *["a constant"] * (None in sources),
    ]:
        problem = f"is called with {shortened(str(unknown[0]))}"
    elif settings.get("mask") is not None:
        problem = "is called with a mask"
    elif len(sources) > 1:
        problem = f"has {len(sources)} inputs"
    return _Call([source for source in sources if source is not None], settings, problem)


def _histories(arguments: object) -> list[Any]:
    """``[layer, number of its call, number of the call's output]`` of each tensor in arguments."""
    listed = arguments if isinstance(arguments, list) else [arguments]
    flat = [x for item in listed for x in (item if isinstance(item, list) else [item])]
    return [_settings(x).get("keras_history") if isinstance(x, dict) else None for x in flat]


def _source(history: object) -> str | None:
    """The layer whose one output is read; ``None`` for anything else."""
    match history:
        case [str() as name, int(), 0, *_]:
            return name
    return None


def _end(model: Config, key: str) -> str:
    """The one layer at an end of a graph."""
    ends = model.get(key)
    ends = list(ends.values()) if isinstance(ends, dict) else ends
    if isinstance(ends, list) and ends and isinstance(ends[0], str):
        ends = [ends]
    if not isinstance(ends, list):
        raise ValueError(f"its {key} are no list")
    name = _source(ends[0]) if len(ends) == 1 else None
    if name is None:
        raise NotThisNetwork(f"it has {len(ends)} {key.partition('_')[0]}s")
    return name


def _layers(config: object) -> list[Config] | None:
    """The layers that a model lists; ``None`` for a layer that is none."""
    settings = config.get("config") if isinstance(config, dict) else None
    # Keras 1 and early versions of 2 write a Sequential's layers without anything around.
    listed = settings.get("layers") if isinstance(settings, dict) else settings
    if not isinstance(listed, list):
        return None
    if not all(isinstance(layer, dict) for layer in listed):
        raise ValueError("one of its layers is no dictionary")
    return listed


def _kind(layer: Config) -> str:
    """A layer's class, without its module.

    A class of one's own computes anything, whatever its name. Raises `NotThisNetwork` for one.
    """
    kind, registered = layer.get("class_name"), layer.get("registered_name")
    if not isinstance(kind, str):
        raise ValueError("one of its layers has no class")
    module, _, plain = kind.rpartition(".")
    module = layer.get("module", module or "keras")
    is_own = not isinstance(module, str) or module.partition(".")[0] not in _KERAS
    if is_own or ">" in kind or ">" in str(registered):
        name = shortened(_name(layer))
        raise NotThisNetwork(f"layer {name} is of a class that is not Keras's, {shortened(kind)}")
    return plain


def _settings(layer: Config) -> Config:
    settings = layer.get("config")
    return settings if isinstance(settings, dict) else {}


def _name(layer: Config) -> str:
    name = layer.get("name") or _settings(layer).get("name")
    if name is None and isinstance(layer.get("config"), list):
        return "model"  # Keras 1's Sequential has none
    if not isinstance(name, str):
        raise ValueError("one of its layers has no name")
    return name


def refuse(layer: SavedLayer, says: str, has: str = "") -> NoReturn:
    """Raise `NotThisNetwork` for what a layer says, and what a VGG has in its place."""
    raise NotThisNetwork(f"{layer} {_cut(says)}" + (f", where a VGG has {has}" if has else ""))
