"""Whether a port changed the arrays that it was given, or returned views of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


class _Handed(NamedTuple):
    """An array that a port was given, while anything refers to it, and where its values stand."""

    name: str
    array: ref[Values]
    read: Callable[[], Mapping[str, Values]]
    key: str


class HandedOut:
    """Remembers what a port was given, for as long as it can still be read."""

    def __init__(self) -> None:
        self._handed: list[_Handed] = []

    def add(
        self, name: str, arrays: Mapping[str, Values], read: Callable[[], Mapping[str, Values]]
    ) -> None:
        """Remember arrays of the port's own, each as ``name['key']``, or ``name`` for an empty key.

        ``read`` reads all of them again.
        """
        for key, values in arrays.items():
            label = f"{name}[{key!r}]" if key else name
            self._handed.append(_Handed(label, ref(values), read, key))

    def misused(self, *outputs: tuple[str, Values]) -> list[str]:
        """A sentence on each input that changed, or of which an output is a view."""
        live = [(each, array) for each in self._handed if (array := each.array()) is not None]
        self._handed = [each for each, _ in live]
        originals = {read: read() for read in {each.read for each in self._handed}}
        inputs = [(each.name, array, originals[each.read][each.key]) for each, array in live]
        return [f"the port {said}" for said in misuse(inputs, outputs)]


def misuse(
    inputs: Iterable[tuple[str, Values, Values]], outputs: Iterable[tuple[str, Values]]
) -> list[str]:
    """What a port did to what it was given: ``changed the images in place``.

    Args:
        inputs: a name for each, what the port was given, and the values that it had.
        outputs: what the port computed, each with its name.
    """
    found = []
    for name, given, original in inputs:
        if given.shape != original.shape or not np.array_equal(_bits(given), _bits(original)):
            found.append(f"changed {name} in place")
        if views := [tap for tap, values in outputs if np.may_share_memory(values, given)]:
            found.append(f"returned {', '.join(views)} as a view of {name}")
    return found


def _bits(values: Values) -> NDArray[np.uint8]:
    """The bytes, of which -0 has others than 0, and NaN the same as itself."""
    return np.ascontiguousarray(values).view(np.uint8)
