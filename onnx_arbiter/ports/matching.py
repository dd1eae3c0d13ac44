"""Which layer of a port is which of the reference."""

from __future__ import annotations

import re
from collections.abc import Sequence

from onnx_arbiter.ports.places import CONTAINER, FLATTEN, Place, Tap


def matched(places: Sequence[Place], taps: Sequence[Tap]) -> tuple[list[tuple[Place, Tap]], str]:
    """The pairs of layers, and in words how they were found.

    Layers are matched by name where half of them have one in common, dots and underscores being the
    same; otherwise by order, kind and shape, as many as possible, layers of layers left out.
    A flattened array whose elements two layouts order differently is not compared.
    """
    named = _by_name(places, taps)
    least = min(len(places), len(taps))
    if named and 2 * len(named) >= least:
        pairs, how = named, "by name"
    else:
        pairs, how = _by_order(places, taps), "by order, kind and shape"
    pairs = [(place, tap) for place, tap in pairs if not _ordered_otherwise(place, tap)]
    return pairs, f"{len(pairs)} of {len(places)} layers matched {how}"


def _by_name(places: Sequence[Place], taps: Sequence[Tap]) -> list[tuple[Place, Tap]]:
    known = {_plain(tap.name): tap for tap in taps}
    return [(p, known[_plain(p.name)]) for p in places if _plain(p.name) in known]


def _plain(name: str) -> str:
    return re.sub(r"[./]", "_", name).lower()


def _by_order(places: Sequence[Place], taps: Sequence[Tap]) -> list[tuple[Place, Tap]]:
    """The longest common subsequence of kinds and shapes; of several, the earliest layers."""
    ours = [p for p in places if p.kind != CONTAINER]
    theirs = [t for t in taps if t.kind != CONTAINER]
    our_keys = [(p.kind, _sizes(p.shape)) for p in ours]
    their_keys = [(t.kind, _sizes(t.values.shape)) for t in theirs]
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
            pairs.append((ours[i], theirs[j]))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whatever the layout."""
    return tuple(sorted(size for size in shape if size != 1))


def _ordered_otherwise(place: Place, tap: Tap) -> bool:
    return FLATTEN in (place.kind, tap.kind) and place.channels_last != tap.channels_last
