"""The arrays that a port was given: whether it changed them, or returned views of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from weakref import ref

from numpy.typing import NDArray

from vgg16_parity.runtimes.adapters.own_port import misuse

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

    def misused(self, outputs: Mapping[str, Values]) -> list[str]:
        """A sentence on each input that changed, or of which an output is a view."""
        self._handed = [each for each in self._handed if each.array() is not None]
        inputs = (
            (each.name, array, each.original())
            for each in self._handed
            if (array := each.array()) is not None
        )
        return misuse(inputs, outputs)
