"""Where the elements of a resized axis lie on the original one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import frexp
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import REACH, UNIT, Unsupported

_NEAREST: Final = MappingProxyType[str, Callable[[Array], Array]](
    {
        "round_prefer_floor": lambda places: np.ceil(places - places.dtype.type(0.5)),
        "round_prefer_ceil": lambda places: np.floor(places + places.dtype.type(0.5)),
        "floor": np.floor,
        "ceil": np.ceil,
    }
)


@dataclass(frozen=True)
class Axis:
    """An axis that is resized.

    Attributes:
        transform: the operator's ``coordinate_transformation_mode``.
        size, wanted: the number of elements before and after.
        scale: by which the coordinates are divided.
    """

    transform: str
    size: int
    wanted: int
    scale: float

    @cached_property
    def coordinates(self) -> NDArray[np.float64]:
        """Where each new element lies, (wanted,)."""
        return self._computed(np.float64, multiplies=False)

    @property
    def is_exact(self) -> bool:
        """Whether float32 has every coordinate: whether the scale is a power of two."""
        scale = self.scale
        if self.transform == "align_corners":
            scale = (self.wanted - 1) / max(1, self.size - 1)
        return scale == 0 or frexp(scale)[0] == 0.5

    @cached_property
    def shifts(self) -> NDArray[np.float32]:
        """The variance of a coordinate's rounding in float32, in u²/3, (wanted,).

        The scale or its inverse is rounded, the quotient is, and then the difference from it.
        """
        if self.is_exact:
            return np.zeros(self.wanted, np.float32)
        centred = 0.5 if "half_pixel" in self.transform else 0.0
        variance = 2 * np.square(self.coordinates + centred)
        if centred:
            variance += np.square(self.coordinates)
        if self.transform == "half_pixel_symmetric":
            variance += self.size**2 / 2  # of what is left out at an end: twice half the size
        return variance.astype(np.float32)

    def nearest(self, mode: str) -> NDArray[np.int64]:
        """The index of the nearest old element, (wanted,).

        Raises:
            Unsupported: if float32 may give another one, in one of the ways to compute it.
        """
        if mode not in _NEAREST:
            raise Unsupported(f"rounds coordinates in a mode {mode!r}")
        found = self._rounded(mode, self.coordinates)
        others = [self._computed(np.float32, multiplies=multiplies) for multiplies in (False, True)]
        if self.transform == "half_pixel_symmetric":
            # What is left out at an end is computed in yet other ways.
            reach = REACH * UNIT * np.sqrt(self.shifts)
            others += [self.coordinates - reach, self.coordinates + reach]
        if any(np.any(self._rounded(mode, other) != found) for other in others):
            raise Unsupported("rounding of coordinates decides which elements are nearest")
        return found

    def _rounded(self, mode: str, coordinates: Array) -> NDArray[np.int64]:
        rounded = _NEAREST[mode](coordinates)
        return np.clip(rounded, 0, self.size - 1).astype(np.int64)

    def _computed(self, dtype: type[np.floating[Any]], *, multiplies: bool) -> NDArray[Any]:
        """The coordinates in a type's arithmetic; by the inverse of the scale, or dividing."""
        places, half = np.arange(self.wanted).astype(dtype), dtype(0.5)

        def divided(values: NDArray[Any]) -> NDArray[Any]:
            factor = dtype(1 / self.scale)
            return np.asarray(values * factor if multiplies else values / dtype(self.scale))

        if self.transform == "asymmetric":
            return divided(places)
        if self.transform == "align_corners":
            if self.wanted == 1:
                return np.zeros(1, dtype)
            last, ends = dtype(self.size - 1), dtype(self.wanted - 1)
            return np.asarray(places * (last / ends) if multiplies else places * last / ends)
        if self.transform == "tf_half_pixel_for_nn":
            return divided(places + half)
        if self.transform == "pytorch_half_pixel" and self.wanted == 1:
            return np.zeros(1, dtype)
        if self.transform in ("half_pixel", "pytorch_half_pixel"):
            return np.asarray(divided(places + half) - half)
        if self.transform == "half_pixel_symmetric":
            size = dtype(self.size)
            offset = size * half * (1 - dtype(self.wanted) / (dtype(self.scale) * size))
            return np.asarray(offset + divided(places + half) - half)
        raise Unsupported(f"finds coordinates in a mode {self.transform!r}")
