"""Normalisations: y = z · scale + bias with z = (x - mean) · r, by the statistics of groups.

Of a group of n elements that are normalised together, with r = (variance + epsilon)^(-1/2):

    ∂zᵢ/∂xⱼ  = r (δᵢⱼ - (1 + zᵢ zⱼ) / n)
    Σⱼ(…)² vⱼ = r² (vᵢ (1 - 2 (1 + zᵢ²) / n) + (Σ v + 2 zᵢ Σ z v + zᵢ² Σ z² v) / n²)

The common part of the input's errors goes with the mean, the proportional part with r. The
statistics are computed values with errors of their own, of n summands each (`error_model.py`):

    of the mean m         M = mean(x²) / 6 + m² (n/3 + 1)
    of r, relative to it  Q = 2.25 + ¼ (mean(z⁴) (5 + n/6) / n + mean(z²)² (n/3 + 1))

In Q, the roundings of x - m count four times in its square and the square once; adding epsilon, the
root and the reciprocal make 2.25. Runtimes compute y literally, or as x · a + c with a = scale · r
and c = bias - m · a, which rounds what is much larger than y where the mean is:

    own = scale² (r² (M + x² + m²) + z² (2 + Q)) + (bias - m a)² + y²

That holds for variances of two passes, mean((x - m)²), and for Welford's. The variance of one pass,
mean(x²) - m², has errors larger by (m² / variance)², and is covered only where ONNX defines an
operator by it (MeanVarianceNormalization). For a mean that is large beside the spread, a runtime
that takes one pass therefore fails a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.normalisation.local_response import lp_normalization, lrn
from onnx_arbiter.operators.operation import (
    Operation,
    Rule,
    Variance,
    Variances,
    add_up,
    as_float,
    squares_of,
)

# Roundings of r, relative to it: of variance + epsilon (a quarter), of its root, of the reciprocal.
ROOT: Final = 2.25
# What MeanVarianceNormalization adds to the standard deviation.
_TINY: Final = 1e-9


class Normalised(Operation):
    """y = z · scale + bias of groups.

    Args:
        inputs: x; the scale and the bias if there are any.
        shape: what x is viewed as.
        axes: of the view, over which a group extends.
        epsilon: added to the variance.
        spread: shapes a scale or a bias to broadcast to the view.
        centred: whether the mean is subtracted.
        one_pass: whether the variance may be computed as mean(x²) - mean². Epsilon is then added
            to its root.
        statistics: whether the mean and r are outputs too.
    """

    def __init__(
        self,
        inputs: Sequence[Array | None],
        shape: Sequence[int],
        axes: Sequence[int],
        epsilon: float,
        spread: Callable[[Array], Array] = lambda values: values,
        *,
        centred: bool = True,
        one_pass: bool = False,
        statistics: int = 1,
    ) -> None:
        source, *rest = inputs
        assert source is not None
        self._shape, self._axes, self._spread = tuple(shape), tuple(axes), spread
        self._length = prod(self._shape[axis] for axis in self._axes)
        self._centred, self._one_pass = centred, one_pass
        self._scale, self._bias = (
            None if values is None else spread(as_float(values))
            for values in (*rest, None, None)[:2]
        )
        x = self._view(as_float(source))
        zero = np.zeros((1,) * x.ndim)
        self._mean = self._average(x) if centred else zero
        z = x - self._mean
        variance = self._average(np.square(z))
        root = np.sqrt(variance) + epsilon if one_pass else np.sqrt(variance + epsilon)
        self._r = 1 / root
        z *= self._r
        self._z: Float32 = z.astype(np.float32)
        y = z if self._scale is None else z * self._scale
        if self._bias is not None:
            y = y + self._bias
        outputs = [y.reshape(source.shape), self._mean, self._r][:statistics]
        float32 = np.dtype(np.float32)
        super().__init__(inputs, outputs, [None, float32, float32][:statistics])

    def _view(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(self._shape)

    def _average(self, values: NDArray[Any]) -> Float64:
        average: Float64 = values.mean(axis=self._axes, keepdims=True, dtype=np.float64)
        return average

    def _slope(self) -> Float32:
        """(scale · r)²"""
        squares = squares_of(self._r)
        return squares if self._scale is None else squares * squares_of(self._scale)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        source, *rest = variances
        scale, bias = (*rest, None, None)[:2]
        z, parts = self._z, list[Variance]()
        mean: Variance = None
        root: Variance = None
        if source is not None:
            v = self._view(source)
            n = np.float32(self._length)
            own, shared = 2 * np.square(z), np.square(z) * self._sum(np.square(z) * v)
            if self._centred:
                own += 2
                shared += self._sum(v) + 2 * z * self._sum(z * v)
            passed = np.maximum(v * (1 - own / n) + shared / n**2, np.float32(0))
            parts.append(self._slope() * passed)
            mean = self._sum(v) / n**2
            root = np.square(squares_of(self._r)) * self._sum(np.square(z) * v) / n**2
        if scale is not None:
            parts.append(np.square(z) * self._spread(scale))
        if bias is not None:
            parts.append(np.broadcast_to(self._spread(bias), z.shape))
        total = add_up(*parts)
        found = (None if total is None else total.reshape(self.outputs[0].shape), mean, root)
        return found[: len(self.outputs)]

    def _sum(self, values: Float32) -> Float32:
        total: Float32 = values.sum(axis=self._axes, keepdims=True, dtype=np.float64)
        return total.astype(np.float32)

    def own(self, mode: Mode) -> Variances:
        x = self._view(as_float(np.asarray(self.inputs[0])))
        n, squares = self._length, squares_of(x)
        center = squares_of(self._mean)
        of_mean = (self._average(squares) / 6 + center * (n / 3 + 1)).astype(np.float32)
        second = np.square(self._z)
        fourth, second = self._average(np.square(second)), self._average(second)
        of_root = ROOT + (fourth * (5 + n / 6) / n + second**2 * (n / 3 + 1)) / 4
        if self._one_pass:
            of_root = of_root + self._of_one_pass(x, of_mean) / 4
        relative = of_root.astype(np.float32)
        y = self.outputs[0].reshape(self._shape)
        own = affine_rounding(
            x if self._centred else None,
            (self._mean, of_mean),
            (self._r, relative),
            (self._z, self._scale, self._bias, y),
        )
        unit = float32_units(mode.sums)
        found = (
            unit * own.reshape(self.outputs[0].shape),
            unit * of_mean,
            unit * squares_of(self._r) * relative,
        )
        return found[: len(self.outputs)]

    def _of_one_pass(self, x: Float64, of_mean: Float32) -> Float64:
        """The variance of mean(x²) - m², relative to its square."""
        n, squares = self._length, np.square(x)
        average, center = self._average(squares), np.square(self._mean)
        of_squares = self._average(np.square(squares)) * (1 + n / 6) / n
        of_squares = of_squares + average**2 * (n / 3 + 1)
        error = of_squares + 4 * center * of_mean + center**2
        return np.asarray(error * self._r**4)


def affine_rounding(
    x: Float64 | None,
    mean: tuple[Float64, Float32],
    root: tuple[Float64, Float32],
    rest: tuple[Float32, Float64 | None, Float64 | None, Float64],
) -> Float32:
    """The rounding of y = (x - mean) · r · scale + bias, in u²/3; the module derives it.

    Args:
        x: None where no mean is subtracted.
        mean: it, and its own variance.
        root: r, and its own variance relative to it.
        rest: z, scale, bias and y.
    """
    z, scale, bias, y = rest
    squared_root = squares_of(root[0])
    own = np.square(z) * (2 + root[1])
    if x is not None:
        own = own + squared_root * (mean[1] + squares_of(x) + squares_of(mean[0]))
    if scale is not None:
        own = own * squares_of(scale)
    if bias is not None:
        shift = mean[0] * root[0] if scale is None else mean[0] * root[0] * scale
        own = own + squares_of(bias - shift) + squares_of(y)
    rounding: Float32 = own.astype(np.float32, copy=False)
    return rounding


def epsilon_of(node: Node) -> float:
    """The epsilon as the file has it, in float32."""
    return float(np.float32(node.get("epsilon", 1e-5)))


def instance_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """InstanceNormalization: groups are the channels of an image."""
    rank = np.ndim(np.asarray(inputs[0]))

    def spread(values: Array) -> Array:
        return values.reshape(1, -1, *[1] * (rank - 2))

    shape = np.shape(np.asarray(inputs[0]))
    return Normalised(inputs, shape, range(2, rank), epsilon_of(node), spread)


def layer_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """LayerNormalization: groups extend from an axis to the last one."""
    shape = np.shape(np.asarray(inputs[0]))
    axes = range(node.get("axis", -1) % len(shape), len(shape))
    return Normalised(inputs, shape, axes, epsilon_of(node), statistics=len(node.outputs))


def rms_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """RMSNormalization: as LayerNormalization with a mean of zero."""
    shape = np.shape(np.asarray(inputs[0]))
    axes = range(node.get("axis", -1) % len(shape), len(shape))
    return Normalised(inputs, shape, axes, epsilon_of(node), centred=False)


def group_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """GroupNormalization: groups of channels; before opset 21, one scale a group."""
    shape = np.shape(np.asarray(inputs[0]))
    groups = int(node.get("num_groups"))
    view = (shape[0], groups, shape[1] // groups, prod(shape[2:]))

    def spread(values: Array) -> Array:
        return values.reshape(1, groups, -1, 1)  # (groups,) or (channels,)

    return Normalised(inputs, view, (2, 3), epsilon_of(node), spread)


def mean_variance_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """MeanVarianceNormalization: y = (x - mean) / (deviation + 1e-9)"""
    shape = np.shape(np.asarray(inputs[0]))
    axes = [axis % len(shape) for axis in node.get("axes", (0, 2, 3))]
    return Normalised(inputs, shape, axes, _TINY, one_pass=True)


RULES: Final[dict[str, Rule]] = {
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "GroupNormalization": group_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "LpNormalization": lp_normalization,
    "LRN": lrn,
}
