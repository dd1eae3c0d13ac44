"""Values of one network's graph, kept in files, and which of another graph's values they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import Verdict
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.compare_values import compare
from onnx_arbiter.limits import Limits
from onnx_arbiter.numeric_modes import Mode
from onnx_arbiter.values import Value

# Moves a value's elements into another shape.
Arrangement: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"
# Values of fewer elements say too little to be recognised by them.
_LEAST: Final = 8
_MOST_AXES: Final = 4
# The rms of two values that agree differs by at most so many times what is predicted of both: the
# largest limit of R is 5.8.
_APART: Final = 6.0


@dataclass(frozen=True)
class Moments:
    """The mean and the rms of a value, and the rms of its predicted errors."""

    mean: float
    rms: float
    error: float

    @classmethod
    def of(cls, value: Value, mode: Mode) -> Moments:
        """Those of a value of any shape."""
        values, deviation = value.values, value.deviation(mode)
        rms = (float(np.sqrt(np.square(v).mean())) for v in (values, deviation))
        return cls(float(values.mean()), *rms)

    def may_agree(self, other: Moments) -> bool:
        """Whether such values can agree: |rms(a) - rms(b)| ≤ rms(a - b), and so of the mean."""
        allowed = _APART * float(np.hypot(self.error, other.error))
        return abs(self.rms - other.rms) <= allowed and abs(self.mean - other.mean) <= allowed


@dataclass(frozen=True)
class Stored:
    """A value in files.

    Attributes:
        name, operator: of the value, and what computes it.
        value: without its arrays.
        moments: None if it is no float, or not finite.
    """

    name: str
    operator: str
    value: Value
    moments: Moments | None

    @property
    def is_telling(self) -> bool:
        """Whether the value can be recognised: its elements are many, and differ."""
        moments = self.moments
        if moments is None or self.value.values.size < _LEAST:
            return False
        return bool(moments.rms**2 - moments.mean**2 > (_APART * moments.error) ** 2)


class Shelf:
    """Values of a walk, in files of a folder.

    Args:
        folder: where.
        mode: whose errors they have.
        limits: R and Z.
    """

    def __init__(self, folder: Path, mode: Mode, limits: Limits) -> None:
        self._folder, self._mode, self._limits = folder, mode, limits
        self._stored = dict[str, Stored]()
        self._by_size = defaultdict[int, list[Stored]](list)

    def add(self, name: str, operator: str, value: Value) -> None:
        """Put a value into files."""
        number = len(self._stored)
        variance = value.accumulated.get(self._mode.name)
        mapped = replace(
            value,
            values=self._file(f"{number}.npy", value.values),
            accumulated={
                self._mode.name: None
                if variance is None
                else self._file(f"{number}.variance.npy", variance)
            },
        )
        stored = Stored(name, operator, mapped, moments_of(value, self._mode))
        self._stored[name] = stored
        if stored.is_telling:
            self._by_size[value.values.size].append(stored)

    def _file(self, name: str, values: Array) -> Array:
        np.save(self._folder / name, values)
        mapped: Array = np.load(self._folder / name, mmap_mode="r")
        return mapped

    def get(self, name: str) -> Stored | None:
        """The value of a name."""
        return self._stored.get(name)

    def arrays(self) -> Mapping[str, Array]:
        """Every value by name."""
        return {name: stored.value.values for name, stored in self._stored.items()}

    def verdict(self, stored: Stored, value: Value) -> Verdict:
        """Compare another graph's value with one of these: the best arrangement of its elements."""
        found: Verdict | None = None
        for arrange in arrangements(value.values.shape, stored.value.values.shape):
            deviation = np.hypot(stored.value.deviation(self._mode),
                                 arrange(value.deviation(self._mode)))  # fmt: skip
            count = min(v.independent.get(self._mode.name, np.inf) for v in (stored.value, value))
            verdict = compare(arrange(value.values), stored.value, deviation, count, self._limits)
            if found is None or verdict.rms_error < found.rms_error:
                found = verdict
            if verdict.passed:
                return verdict
        if found is not None:
            return found
        nothing = np.zeros(stored.value.values.shape)
        return compare(value.values, stored.value, nothing, np.inf, self._limits)

    def search(self, value: Value) -> Stored | None:
        """The value that another graph's is within rounding of; None if there is none."""
        moments = moments_of(value, self._mode)
        if moments is None:
            return None
        for stored in self._by_size.get(value.values.size, ()):
            assert stored.moments is not None
            if stored.moments.may_agree(moments) and self.verdict(stored, value).passed:
                return stored
        return None


def moments_of(value: Value, mode: Mode) -> Moments | None:
    """A value's moments; None if it is no float, empty, or not finite."""
    if value.values.dtype.kind != "f" or not value.values.size:
        return None
    with np.errstate(all="ignore"):
        moments = Moments.of(value, mode)
    return moments if np.isfinite([moments.mean, moments.rms, moments.error]).all() else None


def arrangements(have: tuple[int, ...], want: tuple[int, ...]) -> Iterator[Arrangement]:
    """Moves from one shape to another: none, the axes in another order, or read in one line."""
    if have == want:
        yield lambda values: values
    elif int(np.prod(have)) == int(np.prod(want)):
        yield lambda values: values.reshape(want)
        if sorted(have) == sorted(want) and len(have) <= _MOST_AXES:
            for order in permutations(range(len(have))):
                if tuple(have[axis] for axis in order) == want:
                    yield partial(np.transpose, axes=order)
