"""Sums of a tensor's elements with fixed weights: reductions, averages, interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import path_rounding
from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.arguments import data_of
from onnx_arbiter.operators.operation import (
    Operation,
    Variance,
    Variances,
    squares_of,
)

# Adds up elements times their weights, in the type of the elements; the weights squared where it
# is told to.
Weigh = Callable[[NDArray[Any], bool], NDArray[Any]]


class WeightedSum(Operation):
    """y = Σ wᵢ xᵢ over K elements of the first input, with exact weights.

    With S = Σ wᵢ² xᵢ²:

        v_out = Σ wᵢ² vᵢ,    own = S (1 + K/6) + y² (K/3 + roundings)

    Args:
        inputs: what the node read.
        weigh: the sum.
        length: K; a number, or an array that broadcasts to the output.
        roundings: of y after the sum: a division.
        of_weights: adds up what rounded weights add to the variance; none if weights are exact.
    """

    def __init__(
        self,
        inputs: Sequence[Array | None],
        weigh: Weigh,
        length: Any,
        roundings: float = 0.0,
        of_weights: Callable[[], NDArray[Any]] | None = None,
    ) -> None:
        self._weigh, self._roundings, self._of_weights = weigh, roundings, of_weights
        self._length = np.asarray(length, np.float32)
        super().__init__(inputs, [np.asarray(weigh(data_of(inputs), False))])

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if variances[0] is None:
            return (None,)
        return (np.asarray(self._weigh(variances[0], True), np.float32),)

    def carried_together(self, variances: Sequence[Variance]) -> Variances | None:
        if variances[0] is None:
            return None
        return (squares_of(self._weigh(np.sqrt(variances[0]), False)),)

    def own(self, mode: Mode) -> Variances:
        squares = np.asarray(self._weigh(squares_of(data_of(self.inputs)), True), np.float32)
        own = rounded_sum(squares, squares_of(self.outputs[0]), self._length, self._roundings)
        if self._of_weights is not None:
            own = own + self._of_weights()
        return (float32_units(mode.sums) * own.astype(np.float32),)


def rounded_sum(squares: Array, ends: Array, length: Any, roundings: float = 0.0) -> Array:
    """S (1 + K/6) + y² (K/3 + roundings)"""
    of_squares, of_ends = path_rounding(length)
    own: Array = squares * (1 + of_squares) + ends * (of_ends + np.float32(roundings))
    return own
