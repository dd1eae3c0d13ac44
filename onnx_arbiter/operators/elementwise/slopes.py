"""What rules of elementwise operators share: how steep they are, and what they round.

A function whose slope vanishes at x still has an error there, of the second order. With normal
errors of the deviation d its mean square is

    f'(x)² d² + ¾ f''(x)² d⁴

A step of height h carries an error where its place is within `REACH` deviations, of (h + d)² at
most; a kink has the larger of its two slopes there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import (
    REACH,
    Elementwise,
    Slope,
    Variance,
    Variances,
    as_float,
    deviation_of,
)

TINY: Final = 1e-30  # what a divisor is at least: slopes stay finite
# Sizes of later shapes are computed on few elements.
_FEW: Final = 1 << 12


class RoundsNothing(Elementwise):
    """An elementwise function whose result every float type holds: a maximum, a sign, a floor."""

    selects = True

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        slopes: Sequence[Slope | None],
        types: Sequence[np.dtype[Any] | None] | None = None,
    ) -> None:
        super().__init__(inputs, np.asarray(output), slopes, roundings=0.0, types=types)


class Decision(Elementwise):
    """Integers or booleans that an error of the inputs changes where it crosses a boundary.

    Args:
        inputs: what the node read.
        output: its values.
        distances: of each input to the nearest boundary, in the input's own units; None for one
            that decides nothing.
    """

    selects = True

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        distances: Sequence[NDArray[Any] | None],
    ) -> None:
        super().__init__(inputs, np.asarray(output), [None] * len(inputs), roundings=0.0)
        self._distances = tuple(distances)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        """None; notes whether an error may cross a boundary."""
        for variance, distance in zip(variances, self._distances, strict=True):
            if variance is not None and distance is not None:
                deviation = deviation_of(variance)
                near = (deviation > 0) & (distance <= REACH * deviation)
                self.decides[0] = self.decides[0] or bool(near.any())
        return (None,)


def floats(inputs: Sequence[Array | None]) -> list[Float64]:
    """Inputs that must be there, as float64."""
    return [as_float(np.asarray(values)) for values in inputs]


def holds_floats(values: Array | None) -> bool:
    """Whether an input is of a float type; constants of bfloat16 are of no kind NumPy knows."""
    return values is not None and (values.dtype.kind == "f" or values.dtype.name == "bfloat16")


def curved(first: NDArray[Any], second: NDArray[Any] | float) -> Callable[[Float32], NDArray[Any]]:
    """The slope sqrt(f'² + ¾ f''² d²) of a function whose f' vanishes somewhere."""

    def slope(deviation: Float32) -> NDArray[Any]:
        return np.asarray(np.hypot(first, 0.75**0.5 * second * deviation))

    return slope


def kinked(
    distance: NDArray[Any], slope: NDArray[Any] | float, other: NDArray[Any] | float
) -> Callable[[Float32], NDArray[Any]]:
    """The larger of two slopes where the kink is within `REACH` deviations.

    Args:
        distance: of x to the kink, at least 0.
        slope: on the side of x.
        other: on the other side.
    """

    def larger(deviation: Float32) -> NDArray[Any]:
        return np.where(distance <= REACH * deviation, np.maximum(slope, other), slope)

    return larger


def stepped(
    distance: NDArray[Any],
    height: NDArray[Any] | float,
    slope: NDArray[Any] | float = 0.0,
    rate: NDArray[Any] | float = 1.0,
) -> Callable[[Float32], NDArray[Any]]:
    """The slope rate + h / d of an error that may cross a step; ``slope`` elsewhere."""

    def steep(deviation: Float32) -> NDArray[Any]:
        crossing = rate + height / np.maximum(deviation, TINY)
        return np.where(distance <= REACH * deviation, crossing, slope)

    return steep


def arithmetic(
    inputs: Sequence[Array | None],
    output: Array,
    slopes: Sequence[Slope | None],
    roundings: float = 1.0,
    absolute: Any = 0.0,
) -> Elementwise:
    """An operation that rounds nothing where float32 holds its operands and results.

    Files compute the sizes of maps in floats: 7.0 · 2.0 is exactly 14, and its floor no matter of
    rounding.
    """
    arrays = [values for values in (*inputs, output) if values is not None]
    if all(map(float32_holds, arrays)):
        return RoundsNothing(inputs, output, slopes)
    return Elementwise(inputs, np.asarray(output), slopes, roundings, absolute)


def float32_holds(values: Array) -> bool:
    """Whether every value is a float32."""
    if values.dtype.name in ("float32", "float16", "bfloat16"):
        return True
    with np.errstate(over="ignore"):  # a few tell it of most arrays
        return all(
            bool(np.all(part.astype(np.float32) == part)) for part in (values.flat[:_FEW], values)
        )
