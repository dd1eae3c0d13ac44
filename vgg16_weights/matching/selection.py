"""Chooses which of a file's sets of weights to read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.errors import BadInput, few
from vgg16_weights.matching.layers import Layer
from vgg16_weights.matching.naming import Chain, chain_of

# The keys under which training scripts keep the weights themselves.
_MAIN: Final = frozenset(
    {
        "state_dict",
        "model_state_dict",
        "model_state",
        "model_weights",
        "model",
        "net",
        "net_state_dict",
        "network",
        "weights",
        "params",
        "module",
    }
)
_FEWEST: Final = min(len(known.convolutions) for known in CONFIGURATIONS.values())
# No network is nested deeper.
_MOST_DEEP: Final = 24
# Sets that an error names.
_MOST_LISTED: Final = 3


def chosen(layers: Sequence[Layer], key: str, label: str) -> list[Layer]:
    """The layers below a container's path or a prefix of names.

    Raises ``BadInput`` for one that does not occur, or that occurs in several places.
    """
    wanted = tuple(filter(None, re.split(r"[./]", key)))
    found: dict[tuple[str, ...], list[Layer]] = defaultdict(list)
    for layer in layers:
        for parts in {layer.parts, layer.name}:
            if wanted and parts[: len(wanted)] == wanted:
                found[()].append(layer)
                break
    if not found:
        for layer in layers:
            for start in range(len(layer.parts)):
                if wanted and layer.parts[start : start + len(wanted)] == wanted:
                    found[layer.parts[:start]].append(layer)
                    break
    if len(found) == 1:
        return next(iter(found.values()))
    sets = sets_of(layers, is_ordered=True)
    problem = "occurs in several places" if found else "is not among the file's keys"
    names = few(f"`{name}`" for each in sets if (name := _name(each)))
    nothing = f"no --key: {label} does not have several sets of weights"
    expected = f"one of {names}, of {label}" if names else nothing
    raise BadInput("--key", f"{key!r} {problem}", expected)


def sets_of(
    layers: Sequence[Layer], node: tuple[str, ...] = (), *, is_ordered: bool
) -> list[Chain]:
    """Every VGG below a node, each at the lowest node that contains all its convolutions."""
    if sum(layer.is_kernel for layer in layers) < _FEWEST:
        return []
    found: list[Chain] = []
    if len(node) < _MOST_DEEP:
        below: dict[str, list[Layer]] = defaultdict(list)
        for layer in layers:
            if len(layer.name) > len(node):
                below[layer.name[len(node)]].append(layer)
        for part, those in below.items():
            found += sets_of(those, (*node, part), is_ordered=is_ordered)
    left = [layer for layer in layers if not any(layer.within(each.node) for each in found)]
    own = chain_of(left, node, is_ordered=is_ordered)
    return [*found, own] if own else found


def one_of(sets: Sequence[Chain], label: str) -> tuple[Chain, tuple[str, ...]]:
    """The set to read, and a line for the user that names the others.

    Raises ``BadInput`` if there are several and none has a usual name.
    """
    if len(sets) == 1:
        return sets[0], ()
    columns = zip(*(each.base for each in sets), strict=False)
    shared = len(list(takewhile(lambda parts: len(set(parts)) == 1, columns)))
    deeper = [each for each in sets if len(each.base) > shared]
    # Only containers have usual names: between the prefixes `teacher.` and `student.` the user
    # chooses.
    are_contained = deeper and all(each.depth > shared for each in deeper)
    main = [e for e in sets if e not in deeper or e.base[shared] in _MAIN] if are_contained else []
    if len(main) != 1:
        options = [f"--key {name}" for each in sets if (name := _name(each))]
        short = len(options) <= _MOST_LISTED
        expected = " or ".join(options) if short else f"one of {few(options, _MOST_LISTED)}"
        raise BadInput(label, "it has several sets of weights", expected)
    names = [_name(each) for each in sets if each is not main[0]]
    others = few(f"`--key {name}`" if name else "one without a prefix" for name in names)
    return main[0], (f"others: {others}",)


def scope_of(chain: Chain, layers: Sequence[Layer], sets: Sequence[Chain]) -> list[Layer]:
    """The other layers of the network that the convolutions belong to."""
    container = chain.first.parts[: chain.depth]
    own = {layer.position for layer in chain.layers.values()}
    root = max((i + 1 for i, part in enumerate(container) if _is_set(part)), default=0)
    others = [each.base for each in sets if chain.base[: len(each.base)] != each.base]
    found = []
    for layer in layers:
        theirs = layer.parts[: layer.depth]
        is_above = theirs == container[: layer.depth]
        is_network = theirs[:root] == container[:root] and (is_above or "weight" in layer.keys)
        is_beside = is_above and len(theirs) < root and len(layer.weight) > 1
        if any(layer.within(other) for other in others):
            continue
        if layer.position not in own and (is_network or is_beside):
            found.append(layer)
    return found


def _is_set(part: str) -> bool:
    """Whether a container of this name holds all weights of a network."""
    return part in _MAIN or "state_dict" in part or "ema" in part.split("_")


def _name(each: Chain) -> str:
    """What ``--key`` takes for a set: ``state_dict_ema``, ``state_dict/student.``; may be empty."""
    container, prefix, _ = each.around()
    return "/".join(filter(None, (container, prefix)))
