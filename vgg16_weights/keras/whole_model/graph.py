"""Reads the graph of a functional model, of any version of Keras, as a chain of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_weights.keras.whole_model.configuration import (
    Config,
    NoChain,
    NotThisNetwork,
    name_of,
    settings_of,
    shortened,
)

# Operators of Keras 3 with one constant, and of Keras 2.
ARITHMETIC: Final = ("Add", "Subtract", "Multiply", "TrueDivide")
# The channels selected one by one and stacked in reverse: `preprocess_input` of Keras 3.
REVERSAL: Final = "BGR"
# Arguments of a call, besides the input, that are understood.
OPERAND, IS_FIRST = "operand", "operand_is_first"
_KNOWN: Final = ("training", "mask", OPERAND, IS_FIRST)


def chain(model: Config, listed: list[Config]) -> Iterator[tuple[Config, Config]]:
    """The layers of a graph that is a chain, each with the arguments of its call but the input."""
    by_name = {name_of(layer): layer for layer in listed}
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
                f"its graph leads to {shortened(current)}, which is missing or comes twice"
            )
        left.remove(current)
        if calls[current].problem:
            raise NoChain(f"layer {shortened(current)} {calls[current].problem}")
        yield by_name[current], calls[current].settings
        if found := _reversal(current, by_name, readers):
            current, taken = found
            left -= {current, *taken}
            yield {"class_name": REVERSAL, "config": {"name": current}}, {}
        match readers.get(current, []):
            case []:
                break
            case [following]:
                current = following
            case [*several]:
                raise NoChain(f"{len(several)} layers read {shortened(current)}: it branches")
    if left:
        raise NoChain(f"layer {shortened(min(left))} is not on the path from input to output")
    output = _end(model, "output_layers")
    if output != current:
        raise NotThisNetwork(
            f"its output is that of layer {shortened(output)}, which is not its last"
        )


class _Call(NamedTuple):
    """A graph's call of a layer: its inputs, its arguments, and why it is not understood."""

    sources: list[str]
    settings: Config
    problem: str = ""


def _call(layer: Config, name: str) -> _Call:
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise ValueError(f"the inputs of layer {shortened(name)} are not a list")
    histories: list[Any] = []
    settings: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, dict):  # Keras 3: {"args": [tensor], "kwargs": {}}
            arguments, constant = _without_constant(layer, node.get("args"))
            histories += _histories(arguments)
            given = [node.get("kwargs"), constant]
        else:  # before: [[layer, number of its call, number of the call's output, {}]]
            is_row = isinstance(node, list) and node and isinstance(node[0], str)  # an operator's
            histories += node if isinstance(node, list) and not is_row else [node]
            given = [row[3] for row in histories if isinstance(row, list) and len(row) > 3]
        for row in given:
            settings |= row if isinstance(row, dict) else {"not a dictionary": row}
        if isinstance(node, dict):
            settings.pop("training", None)  # Keras 3 puts the model's own mode over it
    if layer.get("class_name") == "TFOpLambda" and set(settings) == {"y", "name"}:
        settings = {OPERAND: settings["y"]}
    sources = [_source(history) for history in histories]
    problem = ""
    if len(nodes) > 1:
        problem = f"is shared: it is called {len(nodes)} times"
    elif unknown := [
        *(k for k in settings if k not in _KNOWN),
        *["a constant"] * (None in sources),
    ]:
        problem = f"is called with {shortened(str(unknown[0]))}"
    elif settings.get("mask") is not None:
        problem = "is called with a mask"
    elif len(sources) > 1:
        problem = f"has {len(sources)} inputs"
    return _Call([source for source in sources if source is not None], settings, problem)


def _without_constant(layer: Config, arguments: object) -> tuple[object, Config]:
    """The tensor that an operator reads, and its other argument if that is a constant."""
    if layer.get("class_name") in ARITHMETIC and isinstance(arguments, list):
        tensors = [argument for argument in arguments if _histories(argument) != [None]]
        if len(arguments) == 2 and len(tensors) == 1:
            is_first = tensors[0] is arguments[1]
            return tensors, {OPERAND: arguments[not is_first], IS_FIRST: is_first}
    return arguments, {}


def _reversal(
    current: str, by_name: Mapping[str, Config], readers: Mapping[str, list[str]]
) -> tuple[str, list[str]] | None:
    """The layer that stacks another's channels in reverse, and the layers that select each one."""
    taken = readers.get(current, [])
    stacks = {reader for name in taken for reader in readers.get(name, [])}
    if len(taken) != IMAGE_CHANNELS or len(stacks) != 1:
        return None
    (stack,) = stacks
    numbers: dict[str, object] = {}
    for name in taken:
        match by_name[name]:
            case {"class_name": "GetItem", "inbound_nodes": [{"args": [_, [dict(rest), number]]}]}:
                if rest.get("class_name") == "__ellipsis__":
                    numbers[name] = number
    row, sources = by_name[stack], _call(by_name[stack], stack).sources
    is_last = row.get("class_name") == "Stack" and settings_of(row).get("axis") == -1
    is_reversed = [numbers.get(name) for name in sources] == [2, 1, 0]
    return (stack, taken) if is_last and is_reversed else None


def _histories(arguments: object) -> list[Any]:
    """``[layer, number of its call, number of the call's output]`` of each tensor in arguments."""
    listed = arguments if isinstance(arguments, list) else [arguments]
    flat = [x for item in listed for x in (item if isinstance(item, list) else [item])]
    return [settings_of(x).get("keras_history") if isinstance(x, dict) else None for x in flat]


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
        raise ValueError(f"its {key} are not a list")
    name = _source(ends[0]) if len(ends) == 1 else None
    if name is None:
        raise NoChain(f"it has {len(ends)} {key.partition('_')[0]}s")
    return name
