"""One node, evaluated in float64, and how rounding errors pass through it.

Variances are float32 arrays in units of u²/3 with float32's unit roundoff u, as in
``error_model.py``. A variance of None is that of an exact value.

    carried(v)   what arrives: the sum over the inputs of (∂y/∂x)² · v
    own(mode)    what the node rounds: a sum S (1 + K/6) + y² K/3, a function roundings · y²
    rounded(s)   what rounded inputs bring a node alone: carried(s · x²)

A kink (ReLU, a maximum) lets an error pass where it may, within `REACH` deviations, be on the other
side. `REACH` is the largest deviation that a comparison accepts, so that every accepted error is
also a predicted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, Mode, float32_units

Variance: TypeAlias = Float32 | None
Variances: TypeAlias = tuple[Variance, ...]
# Reads a node's inputs (None where one is left out) and evaluates it. Computed values of any float
# type arrive as float64; constants, integers and booleans in their own type.
Rule: TypeAlias = "Callable[[Node, Sequence[Array | None]], Operation]"

REACH: Final = LIMITS.deviations.limit
UNIT: Final = FLOAT32_ROUNDOFF / 3**0.5  # the standard deviation that a variance of 1 stands for
_LARGEST: Final = np.float32(1e38)


class Unsupported(Exception):
    """A node that a rule cannot evaluate; the message says why."""


class Operation:
    """One evaluated node.

    Args:
        inputs: what it read.
        outputs: its values; float64 for every float type.
        types: the graph's type of each output where it is not that of the first float input (for
            outputs of float64) or the array's own (for others).

    Attributes:
        selects: whether every output value is one of the inputs', unchanged: such a node rounds
            nothing, and its outputs are exact where its inputs are.
        stores: how often an output is rounded where fewer bits than float32's are stored.
        broadcasts: whether inputs are broadcast to the outputs' shape.
        rearranges: whether the only output has every element of the first input once, and nothing
            else: its errors are as many independent ones.
        common: the share of the own variance, 0 to 1, of errors that whole channels have in common:
            those of a factor that is computed once.
        why_not_alone: why errors of the node alone cannot be predicted; empty if they can.
        decides: for each output, whether another outcome is within reach of errors: the index of a
            maximum whose rival is as large. Set by `carried`; what follows cannot be judged.
    """

    selects = False
    stores = 1
    broadcasts = False
    rearranges = False
    common = 0.0
    why_not_alone = ""

    def __init__(
        self,
        inputs: Sequence[Array | None],
        outputs: Sequence[Array],
        types: Sequence[np.dtype[Any] | None] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.types = tuple(types) if types is not None else (None,) * len(self.outputs)
        self.decides = [False] * len(self.outputs)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        """The variance that the inputs' errors have at each output; None where it is exact."""
        raise NotImplementedError

    def carried_together(self, variances: Sequence[Variance]) -> Sequence[Any] | None:  # noqa: ARG002
        """The same if all errors of a channel were equal; None where that makes no difference."""
        return None

    def own(self, mode: Mode) -> Variances:  # noqa: ARG002 - moves round nothing
        """The variance of the node's own rounding at each output, stored outputs not included."""
        return (None,) * len(self.outputs)

    def rounded(self, scales: Sequence[float]) -> Variances:
        """The variance at each output if input i was rounded with a variance of scales[i] · x²."""
        return self.carried(
            [
                np.float32(scale) * squares_of(values)
                if scale and values is not None and values.dtype.kind == "f"
                else None
                for scale, values in zip(scales, self.inputs, strict=True)
            ]
        )


class Elementwise(Operation):
    """y = f(x₁, x₂, …) element by element, inputs broadcast.

    Args:
        inputs: x₁, x₂, …
        output: y.
        slopes: |∂y/∂xᵢ| at each element, of any shape that broadcasts to y's; None for an input
            that y does not depend on (or that is no float). A function makes it from the input's
            predicted deviation, for kinks: the largest slope within `REACH` deviations.
        roundings: how many roundings of y there are, in u²/3: ``own = roundings · y²``.
        absolute: what is added to ``own``, in units of u²/3 of 1: for functions that libraries
            compute to an absolute accuracy. An array or a number.
    """

    broadcasts = True

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        slopes: Sequence[Slope | None],
        roundings: float = 1.0,
        absolute: Any = 0.0,
        types: Sequence[np.dtype[Any] | None] | None = None,
    ) -> None:
        super().__init__(inputs, [output], types)
        self._slopes, self._roundings, self._absolute = tuple(slopes), roundings, absolute

    def carried(self, variances: Sequence[Variance]) -> Variances:
        total: Variance = None
        shape = self.outputs[0].shape
        for variance, slope in zip(variances, self._slopes, strict=True):
            if variance is None or slope is None:
                continue
            part = _passed(variance, slope)
            if part.shape != shape:
                part = np.array(np.broadcast_to(part, shape))
            total = add_up(total, part)
        return (total,)

    def own(self, mode: Mode) -> Variances:
        if not self._roundings and not np.any(self._absolute):
            return (None,)
        own = np.float32(self._roundings) * squares_of(self.outputs[0])
        return (float32_units(mode.sums) * (own + np.asarray(self._absolute, np.float32)),)


Slope: TypeAlias = "NDArray[Any] | float | Callable[[Float32], NDArray[Any]]"


def _passed(variance: Float32, slope: Slope) -> Float32:
    """What a variance becomes behind a slope."""
    if isinstance(slope, float) and slope == 1:
        return variance
    steep = slope(deviation_of(variance)) if callable(slope) else slope
    return squares_of(np.asarray(steep)) * variance


class Move(Operation):
    """Every output element is an input element, moved: the same move applies to variances.

    Args:
        inputs: what the node read.
        outputs: its values.
        move: moves arrays like the inputs at ``moved`` to arrays like the outputs; None where an
            input is exact is replaced by zeros if another is not.
        moved: which inputs are moved; the others are shapes, axes, indices.
        rearranges: whether every element of the input is in the output once.
    """

    selects = True

    def __init__(
        self,
        inputs: Sequence[Array | None],
        outputs: Sequence[Array],
        move: Callable[..., Sequence[Array]],
        moved: Sequence[int] = (0,),
        *,
        rearranges: bool = False,
    ) -> None:
        super().__init__(inputs, outputs)
        self.rearranges = rearranges
        self._move, self._moved = move, tuple(moved)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        found = [variances[index] for index in self._moved]
        if all(variance is None for variance in found):
            return (None,) * len(self.outputs)
        filled = [
            np.zeros_like(self.inputs[index], np.float32) if variance is None else variance
            for index, variance in zip(self._moved, found, strict=True)
        ]
        return tuple(np.asarray(part) for part in self._move(*filled))

    @classmethod
    def apply(
        cls,
        inputs: Sequence[Array | None],
        move: Callable[..., Sequence[Array]],
        moved: Sequence[int] = (0,),
    ) -> Move:
        """Apply a move to the inputs at ``moved``."""
        return cls(inputs, list(map(np.asarray, move(*(inputs[i] for i in moved)))), move, moved)


class Exact(Operation):
    """Values that no error reaches: shapes, ranges, comparisons that are firm."""

    selects = True

    def carried(self, variances: Sequence[Variance]) -> Variances:  # noqa: ARG002
        return (None,) * len(self.outputs)


def add_up(*variances: Variance) -> Variance:
    """The sum of variances, None counting as zero; None if all are."""
    total: Variance = None
    for variance in variances:
        if variance is not None:
            total = variance if total is None else total + variance
    return total


def deviation_of(variance: Float32) -> Float32:
    """The standard deviation that a variance stands for, in the values' own units."""
    return np.float32(UNIT) * np.sqrt(variance)


def squares_of(values: Array) -> Float32:
    """The square of every value in float32, at most 1e38: masks are the largest number."""
    with np.errstate(over="ignore"):
        squares: Float32 = np.array(values, np.float32)
        np.square(squares, out=squares)
    return np.minimum(squares, _LARGEST, out=squares)


def as_float(values: Array) -> NDArray[np.float64]:
    """A constant or a computed value as float64."""
    return values.astype(np.float64, copy=False)
