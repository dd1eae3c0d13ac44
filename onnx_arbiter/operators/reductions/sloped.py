"""Functions of many elements of one tensor, whose errors pass by the slopes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.operation import Operation, Variance, Variances


class Sloped(Operation):
    """y = f(x₁ … x_K), with v_out = Σ (∂y/∂xᵢ)² vᵢ.

    Args:
        inputs: what the node read.
        output: y.
        through: Σ (∂y/∂xᵢ)² vᵢ of given variances.
        own: in units of u²/3.
    """

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        through: Callable[[Array], Array],
        own: Callable[[], Array],
    ) -> None:
        super().__init__(inputs, [np.asarray(output)])
        self._through, self._own = through, own

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if variances[0] is None:
            return (None,)
        with np.errstate(all="ignore"):
            return (np.asarray(self._through(variances[0])).astype(np.float32),)

    def own(self, mode: Mode) -> Variances:
        with np.errstate(all="ignore"):
            return (float32_units(mode.sums) * np.asarray(self._own()).astype(np.float32),)
