"""BatchNormalization with given statistics: one factor and one addend a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.normalisation.statistics import ROOT, affine_rounding, epsilon_of
from onnx_arbiter.operators.operation import (
    Elementwise,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    as_float,
)


def batch_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """BatchNormalization with given statistics: y = (x - mean) · r · scale + bias

    With a = scale · r, ``v_out = a² (v_x + v_mean) + z² v_scale + v_bias + (a z r / 2)² v_var``;
    ``own`` is as of any normalisation, the statistics being exact: Q = 2.25.
    """
    if node.get("training_mode", 0) or any(node.outputs[1:]):
        raise Unsupported("BatchNormalization computes the statistics of a batch")
    arrays = [as_float(np.asarray(values)) for values in inputs]
    x = arrays[0]
    each = node.get("spatial", 1) or node.version >= 9
    shape = (1, -1, *[1] * (x.ndim - 2)) if each else (1, *x.shape[1:])
    scale, bias, mean, variance = (values.reshape(shape) for values in arrays[1:])
    r = 1 / np.sqrt(variance + epsilon_of(node))
    z = x - mean
    z *= r
    y = z * scale
    y += bias
    slope = np.abs(scale * r)
    exact, roundings = np.zeros(1, np.float32), np.full(1, ROOT, np.float32)
    own = affine_rounding(x, (mean, exact), (r, roundings), (z.astype(np.float32), scale, bias, y))

    def of_variance(_: Float32) -> NDArray[Any]:
        return np.asarray(np.abs(scale * z) * np.square(r) / 2)

    def spread(values: Array) -> Array:
        return values.reshape(shape)

    # Statistics have errors only where they are computed.
    slopes = [slope, lambda _: np.abs(z), 1.0, slope, of_variance]
    return _Batch(inputs, y, slopes, spread, roundings=0.0, absolute=own)


class _Batch(Elementwise):
    """An element-by-element operation whose inputs after the first are one value a channel."""

    # The factor scale · r is computed once for a channel, with half of the roundings.
    common = 0.5

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        slopes: Sequence[Any],
        spread: Callable[[Array], Array],
        **roundings: Any,
    ) -> None:
        super().__init__(inputs, output, slopes, **roundings)
        self._spread = spread

    def carried(self, variances: Sequence[Variance]) -> Variances:
        source, *rest = variances
        return super().carried([source, *(None if v is None else self._spread(v) for v in rest)])


RULES: Final[dict[str, Rule]] = {"BatchNormalization": batch_normalization}
