"""How rounding spreads through a layer: the variance and the mean of the errors of one mode.

The formulas stand in ``vgg16_parity/network/prediction.py``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, SMALLEST_NORMAL, Mode
from vgg16_parity.network import reference
from vgg16_parity.network.reference import Float64, Step
from vgg16_spec.architecture import Convolution, Dense

Float32 = NDArray[np.float32]

# How many of its standard deviations an error is taken to reach, where a ReLU cuts.
_REACH: Final = 3.0


class ErrorVariance:
    """The variance of a runtime's error in one mode, before the ReLU of the layer walked last.

    In units of a float32 rounding's of 1, u²/3: in float32, u² itself would underflow.
    """

    def __init__(self, mode: Mode, images: NDArray[np.floating[Any]]) -> None:
        self.mode = mode
        self._sums, self._operands, self._stored = (
            np.float32((roundoff / FLOAT32_ROUNDOFF) ** 2)
            for roundoff in (mode.sums, mode.operands, mode.stored)
        )
        self.accumulated: Float32 = self._stored * squares_of(images)
        self.local = self.accumulated
        self.drift = ErrorBias(mode.cut, images) if mode.cut else None
        # What the rounding of a layer's input counts: the images are float32 as they are.
        self._given = self._stored

    def rectify(self, previous: Step | None) -> None:
        """Leave what the next layer reads: all where a value may reach above zero, else nothing."""
        if previous is None or not previous.relu:
            return
        passes = previous.before + _REACH * self.accumulated_deviation() > 0
        self.accumulated = np.where(passes, self.accumulated, np.float32(0))
        if self.drift is not None:
            self.drift.rectify(passes)

    def multiply(self, step: Step, squares: Float32, carried: Float32, length: int) -> None:
        """Go through a layer with weights, whose sums have ``length`` products."""
        ends = squares_of(step.before)
        own = self._sums * (squares * np.float32(1 + length / 6) + ends * np.float32(length / 3))
        own += 2 * self._operands * squares  # a weight's and an activation's
        # A stored weight's; and the output's, once before the bias is added and once after.
        own += self._stored * (squares + 2 * ends)
        # Squares below this are lost in float32: of weights as small, the error is not known to be
        # smaller.
        own += np.float32(length * SMALLEST_NORMAL)
        self.accumulated = carried + own
        self.local = self._given * squares + own
        self._given = self._stored or np.float32(1)

    def pool(self, step: Step, among: Float64) -> None:
        """Go through max pooling; ``among`` is what each window holds, by ``reference.windows``.

        Of the elements that an error may lift to the maximum, the largest variance counts.
        """
        reach = _REACH * reference.windows(self.accumulated_deviation())
        may_win = among + reach >= step.before[..., np.newaxis]
        variances = reference.windows(self.accumulated)
        self.accumulated = np.where(may_win, variances, np.float32(0)).max(axis=-1)
        # Given rounded numbers, it passes one of them on as it is.
        self.local = self._given * squares_of(step.before)
        if self.drift is not None:
            self.drift.pool(may_win)

    def flatten(self) -> None:
        """Go through the move from maps to vectors."""
        self.accumulated = reference.flatten(self.accumulated)
        if self.drift is not None:
            self.drift.flatten()

    def accumulated_deviation(self) -> Float32:
        """The standard deviation after all layers so far, in the values' own units."""
        return self._deviation(self.accumulated, self.drift.accumulated if self.drift else None)

    def local_deviation(self) -> Float32:
        """The same of the layer alone."""
        return self._deviation(self.local, self.drift.local if self.drift else None)

    def _deviation(self, variance: Float32, mean: Float32 | None) -> Float32:
        unit = FLOAT32_ROUNDOFF / np.sqrt(3.0)
        # hypot, so that the square of the smallest number does not vanish.
        exact = np.hypot(unit * np.sqrt(variance, dtype=np.float64), self.mode.smallest)
        if mean is not None:
            exact = np.hypot(exact, mean)
        rounded: Float32 = exact.astype(np.float32)
        return rounded


class ErrorBias:
    """The mean of a runtime's error where operands are cut off, in the values' own units."""

    def __init__(self, cut: float, images: NDArray[np.floating[Any]]) -> None:
        self._cut = cut
        self.accumulated: Float32 = np.zeros(images.shape, np.float32)
        self.local = self.accumulated

    def rectify(self, passes: NDArray[np.bool_]) -> None:
        """Leave what the next layer reads."""
        self.accumulated = np.where(passes, self.accumulated, np.float32(0))

    def multiply(self, step: Step, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Go through a layer with weights."""
        assert isinstance(step.layer, Convolution | Dense)
        products = step.before - reference.for_channels(bias, step.before)
        self.local = (-2 * self._cut * products).astype(np.float32)
        self.accumulated = reference.multiply(step.layer, weight, self.accumulated) + self.local

    def pool(self, may_win: NDArray[np.bool_]) -> None:
        """Go through max pooling: of the elements that may win, the largest drift counts."""
        drifts = np.where(may_win, reference.windows(self.accumulated), np.float32(0))
        largest = np.abs(drifts).argmax(axis=-1, keepdims=True)
        self.accumulated = np.take_along_axis(drifts, largest, axis=-1)[..., 0]
        self.local = np.zeros_like(self.accumulated)

    def flatten(self) -> None:
        """Go through the move from maps to vectors."""
        self.accumulated = reference.flatten(self.accumulated)


def squares_of(values: NDArray[np.floating[Any]]) -> Float32:
    """Every value's square, in float32."""
    return np.square(values.astype(np.float32))
