"""The arrays that a port was given: whether it changed them, or returned views of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


class _Handed(NamedTuple):
    """An array that a port was given, while anything refers to it, and what it held."""

    name: str
    array: ref[Values]
    original: Callable[[], Values]


class HandedOut:
    """Remembers what a port was given, for as long as it can still be read."""

    def __init__(self) -> None:
        self._handed: list[_Handed] = []

    def add(self, name: str, array: Values, original: Callable[[], Values]) -> None:
        """Remember an array of the port's own; ``original`` reads its values again."""
        self._handed.append(_Handed(name, ref(array), original))

    def add_all(
        self, name: str, arrays: Mapping[str, Values], read: Callable[[], Mapping[str, Values]]
    ) -> None:
        """Remember each of some arrays, as ``name['key']``; ``read`` reads all of them again."""

        def original(key: str) -> Values:
            return read()[key]

        for key, values in arrays.items():
            self.add(f"{name}[{key!r}]", values, partial(original, key))

    def misused(self, *outputs: tuple[str, Values]) -> list[str]:
        """A sentence on each input that changed, or of which an output is a view."""
        self._handed = [each for each in self._handed if each.array() is not None]
        inputs = (
            (each.name, array, each.original())
            for each in self._handed
            if (array := each.array()) is not None
        )
        return misuse(inputs, outputs)


def misuse(
    inputs: Iterable[tuple[str, Values, Values]], outputs: Iterable[tuple[str, Values]]
) -> list[str]:
    """What a port did to what it was given: it changed it, or returned views of it.

    Args:
        inputs: a name for each, what the port was given, and the values that it had.
        outputs: what the port computed, each with its name.
    """
    found = []
    for name, given, original in inputs:
        if not np.array_equal(given, original, equal_nan=True):
            found.append(f"the port changed {name} in place")
        if views := [tap for tap, values in outputs if np.may_share_memory(values, given)]:
            found.append(f"the port returned {', '.join(views)} as a view of {name}")
    return found
