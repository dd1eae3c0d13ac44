"""Which layer of a port is which of the reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from onnx_arbiter.ports.places import CONTAINER, FLATTEN, Place, Tap

Layer = TypeVar("Layer", Place, Tap)


@dataclass(frozen=True)
class Matched:
    """The pairs of layers.

    Attributes:
        pairs: the same layer in the reference and in the port.
        by_name: whether they have one in common; else a pair may be wrong.
        how: what there is to say of it.
    """

    pairs: Sequence[tuple[Place, Tap]]
    by_name: bool
    how: str


def matched(places: Sequence[Place], taps: Sequence[Tap]) -> Matched:
    """Match the layers of a port to those of the reference.

    Layers are matched by name where half of them have one in common, dots and underscores being the
    same; otherwise by order, kind and shape, as many as possible, layers of layers left out.
    A flattened array whose elements two layouts order differently is not compared.
    """
    named = _by_name(places, taps)
    least = min(len(places), len(taps))
    by_name = bool(named) and 2 * len(named) >= least
    found = named if by_name else _by_order(places, taps)
    pairs = [(place, tap) for place, tap in found if not _ordered_otherwise(place, tap)]
    how = "by name" if by_name else "by order, kind and shape"
    return Matched(pairs, by_name, f"{len(pairs)} of {len(places)} layers matched {how}")


def _by_name(places: Sequence[Place], taps: Sequence[Tap]) -> list[tuple[Place, Tap]]:
    known = {_plain(tap.name): tap for tap in taps}
    named = [(p, known[_plain(p.name)]) for p in places if _plain(p.name) in known]
    return [(place, tap) for place, tap in named if not _is_part(place, tap)]


def _is_part(place: Place, tap: Tap) -> bool:
    """Whether one of two layers of a name has an activation that is another layer beside the other.

    In one framework, this is a mistake.
    """
    apart = (place.before is None) != (tap.before is None)
    return apart and place.kind != tap.kind and (place.before or "") != (tap.before or "")


def _plain(name: str) -> str:
    return re.sub(r"[./]", "_", name).lower()


def _by_order(places: Sequence[Place], taps: Sequence[Tap]) -> list[tuple[Place, Tap]]:
    """The longest common subsequence of kinds and shapes; of several, the earliest layers."""
    ours, theirs = _parts(places), _parts(taps)
    our_keys = [(part, _sizes(place.shape)) for place, part in ours]
    their_keys = [(part, _sizes(tap.values.shape)) for tap, part in theirs]
    longest = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in reversed(range(len(ours))):
        for j in reversed(range(len(theirs))):
            same = our_keys[i] == their_keys[j]
            longest[i][j] = (
                longest[i + 1][j + 1] + 1 if same else max(longest[i + 1][j], longest[i][j + 1])
            )
    pairs, i, j = list[tuple[Place, Tap]](), 0, 0
    while i < len(ours) and j < len(theirs):
        if our_keys[i] == their_keys[j]:
            (place, part), (tap, _) = ours[i], theirs[j]
            if part == place.kind == tap.kind:
                pairs.append((place, tap))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _parts(layers: Sequence[Layer]) -> list[tuple[Layer, str]]:
    """The layers that are no containers; one with its activation is two, and the second is seen."""
    return [
        (layer, part)
        for layer in layers
        if layer.kind != CONTAINER
        for part in (layer.before, layer.kind)
        if part
    ]


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whatever the layout."""
    return tuple(sorted(size for size in shape if size != 1))


def _ordered_otherwise(place: Place, tap: Tap) -> bool:
    return FLATTEN in (place.kind, tap.kind) and place.channels_last != tap.channels_last
