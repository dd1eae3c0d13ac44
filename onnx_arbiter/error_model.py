"""The error model: the rounding error to expect of each value, operation by operation.

A rounding error is uniform over half a gap either way. Half a gap is u relative to a power of two,
with u the unit roundoff, and nearly u/2 relative to the largest number below the next. The unit
here, u²/3, is therefore an upper bound of the variance relative to the rounded value: mantissas
spread evenly on a logarithmic scale have 3 / (8 ln 2) = 0.541 times it on average. A layer that
only rounds, such as pooling, therefore has errors of 0.7355 times the predicted size: R is not 1.

Let v be the variance of a runtime's error, x the input of a layer, W its weights, y its output
before the ReLU, K the length of its sums, and ∘ the elementwise product:

    S     = W∘W * x∘x
    v_out = W∘W * v_in + (u²/3) · ( S · (1 + K/6) + y∘y · K/3 )

The first term propagates the error of the input. The second is the rounding of the layer itself: K
products (S) and K partial sums. The partial sums of K terms of either sign go from 0 to y, linearly
on average, with the variance of a Brownian bridge around that line. Their squares therefore add up
to K/3 · y² + K/6 · S; over many outputs, where y² averages S, to K/2 · S.

A ReLU passes the variance on where y is positive, or so little negative that an error may make it
positive. A maximum passes on the largest variance among the elements that an error may make the
maximum. A move (reshape, transpose, windows) moves the variance as it moves the values. Modes with
rounded operands or stored outputs add the variance of those roundings.

Hardware that truncates operands also causes a mean error m. Each operand loses the fraction c of
itself on average, so with b the bias

    m_out = W * m_in - 2 · c · (y - b)

A mean adds up linearly from layer to layer, not in squares. The predicted standard deviation of a
runtime's error is sqrt(v + m²).

Source of the rounding model: Higham, "Accuracy and Stability of Numerical Algorithms" (2002),
chapters 2 to 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, SMALLEST_NORMAL, Mode, float32_units

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# An error may reach this many standard deviations when a ReLU or a maximum depends on it.
REACH: Final = 3.0
# The standard deviation that a variance of 1 stands for.
_UNIT: Final = FLOAT32_ROUNDOFF / 3**0.5


@dataclass(frozen=True)
class ValueWithVariance:
    """Values and the variance of a runtime's error at each; float64 arrays of one shape."""

    values: Float64
    variance: Float64

    def moved(self, move: Callable[[Float64], Float64]) -> ValueWithVariance:
        """Apply the same move of elements to both arrays."""
        return ValueWithVariance(move(self.values), move(self.variance))

    def deviation(self, mode: Mode) -> Float64:
        """The predicted standard deviation, at least the mode's smallest normal number."""
        deviation: Float64 = np.hypot(np.sqrt(self.variance), mode.smallest)
        return deviation


class ErrorVariance:
    """The error of a runtime in one mode, carried from operation to operation.

    Variances are in units of u²/3 for float32, because u² itself would underflow in float32. Means
    are in the values' own units, and None in modes that do not truncate.

    Args:
        mode: the numeric mode.
        inputs: the network's inputs, exact in float32.
        input_deviation: standard deviation of the inputs' own error, of their shape; None if they
            have none.

    Attributes:
        accumulated, bias: variance and mean if the runtime computed every operation so far.
        local, local_bias: the same if it got the exact inputs of the last operation, rounded.
    """

    def __init__(
        self,
        mode: Mode,
        inputs: NDArray[np.floating[Any]],
        input_deviation: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        self._set(mode)
        self.accumulated: Float32 = self._stored * squares_of(inputs)
        if input_deviation is not None:
            self.accumulated += squares_of(input_deviation / _UNIT)
        self.local = self.accumulated
        exact: Float32 = np.zeros(inputs.shape, np.float32)
        self.bias = self.local_bias = exact if mode.truncation_bias else None
        # Rounding of an operation's exact input: the network's own inputs already are float32.
        self._input_rounding = self._stored

    def switch(self, mode: Mode, values: Float64) -> None:
        """Compute in another mode from here on.

        Args:
            mode: the mode.
            values: what the next operation reads, before the ReLU if one follows. A mode that
                stores fewer bits rounds it again; one with more leaves it as it was rounded.
        """
        before = self._stored
        self._set(mode)
        if self._stored > before:
            self.accumulated = self.accumulated + self._stored * squares_of(values)
        self._input_rounding = self._stored or min(self._input_rounding, np.float32(1))
        if mode.truncation_bias and self.bias is None:
            self.bias = np.zeros_like(self.accumulated)

    def _set(self, mode: Mode) -> None:
        self.mode = mode
        self._sums, self._operands, self._stored = (
            float32_units(roundoff) for roundoff in (mode.sums, mode.operands, mode.stored)
        )

    def rectify(self, preactivation: Float64) -> None:
        """Pass a ReLU: keep the error where the value may become positive."""
        passes = preactivation + REACH * self.accumulated_deviation() > 0
        self.move(lambda errors: np.where(passes, errors, np.float32(0)))

    def multiply(
        self,
        preactivation: Float64,
        squares: Float32,
        carried: Float32,
        length: int,
        rounding: Float32 | None = None,
    ) -> None:
        """Pass a layer of sums of products.

        Args:
            preactivation: y, the exact sums.
            squares: S, the sums of the squared products.
            carried: the input's accumulated variance, multiplied by the squared weights.
            length: K, the number of products in a sum.
            rounding: the variance that the algorithm itself adds before the bias; None for a direct
                sum.
        """
        ends = squares_of(preactivation)
        if rounding is None:
            of_products, of_sums = path_rounding(length)
            own = self._sums * (squares * (1 + of_products) + ends * of_sums)
        else:
            own = rounding + self._sums * ends
        own += 2 * self._operands * squares  # of both operands: a weight and an activation
        # The stored weight, and the stored output: once before and once after adding the bias.
        own += self._stored * (squares + 2 * ends)
        # In float32, squares below this are lost: the error may be as large for weights this small.
        own += np.float32(length * SMALLEST_NORMAL)
        self.accumulated = carried + own
        self.local = self._input_rounding * squares + own
        self._input_rounding = self._stored or np.float32(1)

    def truncate(self, products: Float64, carried: Float32) -> None:
        """Add the mean error of truncated operands, in a layer of sums of products.

        Args:
            products: the exact sums without the layer's bias, which is not an operand.
            carried: the input's accumulated mean error, multiplied by the weights.
        """
        self.local_bias = (-2 * self.mode.truncation_bias * products).astype(np.float32)
        self.bias = carried + self.local_bias

    def move(self, move: Callable[[Float32], Float32]) -> None:
        """Pass a move of elements."""
        self.accumulated = move(self.accumulated)
        if self.bias is not None:
            self.bias = move(self.bias)

    def maximum(self, candidates: Float64, largest: Float64) -> None:
        """Pass a maximum over the last axis, the variances having been moved like the candidates.

        Args:
            candidates: the exact values.
            largest: their maximum, without the last axis.
        """
        reach = REACH * self.accumulated_deviation()
        may_win = candidates + reach >= largest[..., np.newaxis]
        self.accumulated = np.where(may_win, self.accumulated, np.float32(0)).max(axis=-1)
        # Given rounded values, a maximum returns one of them unchanged.
        self.local = self._input_rounding * squares_of(largest)
        if self.bias is not None:
            # The largest mean among possible winners.
            means = np.where(may_win, self.bias, np.float32(0))
            winner = np.abs(means).argmax(axis=-1, keepdims=True)
            self.bias = np.take_along_axis(means, winner, axis=-1)[..., 0]
            self.local_bias = np.zeros_like(self.bias)

    def accumulated_deviation(self) -> Float32:
        """The predicted standard deviation after all operations, in the values' own units."""
        return self._deviation(self.accumulated, self.bias)

    def local_deviation(self) -> Float32:
        """The predicted standard deviation of the last operation given exact inputs."""
        return self._deviation(self.local, self.local_bias)

    def _deviation(self, variance: Float32, mean: Float32 | None) -> Float32:
        # hypot, because the square of the smallest number would underflow.
        exact = np.hypot(_UNIT * np.sqrt(variance, dtype=np.float64), self.mode.smallest)
        if mean is not None:
            exact = np.hypot(exact, mean)
        rounded: Float32 = exact.astype(np.float32)
        return rounded


def activate(preactivation: Float64, relu: bool) -> Float64:
    """Apply the ReLU of a tap, if it has one; NaN stays NaN."""
    return np.maximum(preactivation, 0) if relu else preactivation


def path_rounding(length: int) -> tuple[float, float]:
    """K/6 and K/3: how often S and y² count in the rounding of the K partial sums of a sum."""
    return length / 6, length / 3


def squares_of(values: NDArray[np.floating[Any]]) -> Float32:
    """The square of every value, in float32."""
    return np.square(values.astype(np.float32))
