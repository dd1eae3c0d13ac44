"""Winograd's algorithm F(m, 3) for 3x3 convolutions, and the rounding error that it makes.

    U = G g Gᵀ     V = Bᵀ d B     M = Σ_c U∘V     Y = Aᵀ M A

turns a tile d of (m + 2)² inputs into m² outputs. The matrices come from m + 1 points and infinity
(Cook and Toom): with P(x) = Π (x - a_j) and N_i = Π_{j != i} (a_i - a_j),

    Aᵀ[k, i] = a_i^k     G[i, k] = a_i^k / N_i     Bᵀ[i] = the coefficients of P(x) / (x - a_i)

and for infinity the last row or column: 1 for x^(m - 1), 1 for x², and P itself. Engines scale rows
by powers of two at most, which rounds alike.

The variance, in units of u²/3. A one-sided product y = Σ m_k x_k with n terms that are not zero
rounds n - 1 partial sums, which are a Brownian bridge from 0 to y (see ``error_model``), and the
products whose coefficient is no power of two:

    v <- (m∘m) v + S · ((n² - 1) / 6n - (n - 1) / n²) + y² · ((n + 1)(2n + 1) / 6n - 1 / n²)
       + Σ m_k² x_k²,   S = Σ (m_k x_k)²

so v_U and v_V follow from exact weights and inputs. The sum over C channels is a direct one:

    S_M = Σ_c U² V²     v_M = S_M (1 + C/6) + M² C/3 + Σ_c (U² v_V + V² v_U)

and the output transform is two one-sided products again, of v_M.

Sources: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015); Barabasz,
Anderson, Soodhalter and Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution
for Deep Neural Networks" (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod, sqrt
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import CHUNK_VALUES, join, tiles
from onnx_arbiter.error_model import Float32, Float64, path_rounding
from onnx_arbiter.numeric_modes import Mode, float32_units

KERNEL: Final = 3
Rows: TypeAlias = list[list[Fraction]]


class Transforms(NamedTuple):
    """Aᵀ, (m, m + 2); G, (m + 2, 3); Bᵀ, (m + 2, m + 2): exact."""

    output: Rows
    kernel: Rows
    input: Rows


def transforms(points: Sequence[Fraction | float]) -> Transforms:
    """The matrices of F(m, 3) for m + 1 different points, and infinity."""
    exact = [Fraction(point) for point in points]
    outputs = len(exact) - 1
    scales = [prod(one - other for other in exact if other != one) for one in exact]
    last = [Fraction(0)]
    output = [[point**k for point in exact] + [Fraction(k == outputs - 1)] for k in range(outputs)]
    kernel = [
        [point**k / factor for k in range(KERNEL)]
        for point, factor in zip(exact, scales, strict=True)
    ]
    kernel.append([Fraction(0), Fraction(0), Fraction(1)])
    rows = [_with_roots([other for other in exact if other != one]) + last for one in exact]
    rows.append(_with_roots(exact))
    return Transforms(output, kernel, rows)


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - root), the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(-root * each for each in found), Fraction(0)]
        found = [one + other for one, other in zip(shifted, scaled, strict=True)]
    return found


class Factor:
    """A matrix m that is multiplied from one side, and what that rounds."""

    def __init__(self, rows: Rows) -> None:
        self.matrix: Float32 = np.array(rows, np.float64).astype(np.float32)
        self.squares: Float32 = self.matrix**2
        mantissas, _ = np.frexp(np.abs(self.matrix))
        inexact = np.where((mantissas == 0.5) | (self.matrix == 0), 0.0, 1.0)
        terms = np.count_nonzero(self.matrix, axis=1, keepdims=True)
        of_products = (terms**2 - 1) / (6 * terms) - (terms - 1) / terms**2
        of_sums = (terms + 1) * (2 * terms + 1) / (6 * terms) - 1 / terms**2
        # What a squared input, and a squared output, adds.
        self.of_inputs: Float32 = (self.squares * (of_products + inexact)).astype(np.float32)
        self.of_outputs: Float32 = of_sums.astype(np.float32)

    def apply(self, values: Float32, variance: Float32 | None) -> tuple[Float32, Float32]:
        """Multiply the last axis but one, (…, n, k) -> (…, rows, k); the values and the variance.

        The variance is in units of u²/3 for the mode's own u; None if the values are exact.
        """
        result = self.matrix @ values
        rounded = self.of_inputs @ np.square(values) + self.of_outputs * np.square(result)
        return result, rounded if variance is None else rounded + self.squares @ variance

    def both_sides(
        self, values: Float32, variance: Float32 | None = None
    ) -> tuple[Float32, Float32]:
        """Multiply the last two axes from both sides, m x mᵀ: the values and their variance."""
        left, spread = self.apply(values, variance)
        result, spread = self.apply(left.swapaxes(-1, -2), spread.swapaxes(-1, -2))
        return result.swapaxes(-1, -2), spread.swapaxes(-1, -2)


@dataclass(frozen=True)
class Winograd:
    """F(m, 3) with given points.

    Attributes:
        name: its name in notes.
        points: m + 1 different numbers; infinity is the last point.
    """

    name: str
    points: tuple[Fraction | float, ...]

    @property
    def outputs(self) -> int:
        """m: how many rows and columns of outputs a tile has."""
        return len(self.points) - 1

    @cached_property
    def _factors(self) -> tuple[Factor, Factor, Factor]:
        output, kernel, inputs = map(Factor, transforms(self.points))
        return output, kernel, inputs

    def rounding(
        self,
        images: Float64,
        weight: NDArray[np.float32],
        mode: Mode,
        chunk_values: int = CHUNK_VALUES,
    ) -> Float32:
        """The variance that it adds; as in ``Algorithm``. It holds ``chunk_values`` at a time."""
        output, kernel, inputs = self._factors
        products = Products(kernel, weight, mode)
        cut = tiles(images, self.outputs, self.outputs + 2)
        channels, count, rows, columns, size, _ = cut.shape
        shape = (len(weight), count * rows, columns, self.outputs, self.outputs)
        parts = np.empty(shape, np.float32)
        # Rows of tiles, over all images.
        places = [(image, row) for image in range(count) for row in range(rows)]
        step = max(1, chunk_values // (max(channels, len(weight)) * columns * size * size))
        for start in range(0, len(places), step):
            chosen, across = np.transpose(places[start : start + step])
            block = np.ascontiguousarray(cut[:, chosen, across])
            summed, variance = products.summed(*inputs.both_sides(block))
            parts[:, start : start + step] = output.both_sides(summed, variance)[1]
        height, width = images.shape[2:]
        joined = join(parts.reshape(len(weight), count, rows, *shape[2:]), height, width)
        return float32_units(mode.sums) * joined


class Products:
    """Transformed weights, (n * n, out, in), to multiply with transformed inputs."""

    def __init__(self, kernel: Factor, weight: NDArray[np.float32], mode: Mode) -> None:
        # (out, in, n, n) -> (n * n, out, in)
        self.values, self.variance = (
            np.ascontiguousarray(each.reshape(*weight.shape[:2], -1).transpose(2, 0, 1))
            for each in kernel.both_sides(weight)
        )
        self.squares: Float32 = np.square(self.values)
        of_products, of_sums = path_rounding(weight.shape[1])
        # Operands that are rounded, in the units of the sums.
        operands = (mode.operands / mode.sums) ** 2
        self.of_products = np.float32(1 + of_products + 2 * operands)
        self.of_sums = np.float32(of_sums)

    def summed(self, values: Float32, variance: Float32) -> tuple[Float32, Float32]:
        """M and its variance, (out, …, n, n), from V and its own, (in, …, n, n)."""
        shape = values.shape[1:]
        # (in, …, n, n) -> (n * n, in, …)
        given, spread = (
            np.ascontiguousarray(each.reshape(len(each), -1, shape[-1] ** 2).transpose(2, 0, 1))
            for each in (values, variance)
        )
        squares = np.square(given)
        summed = self.values @ given
        total = self.squares @ (squares * self.of_products + spread) + self.variance @ squares
        total += self.of_sums * np.square(summed)
        return _last(summed, shape), _last(total, shape)


def _last(places: Float32, shape: tuple[int, ...]) -> Float32:
    """(n * n, out, …) -> (out, …, n, n)"""
    return np.ascontiguousarray(places.transpose(1, 2, 0)).reshape(places.shape[1], *shape)


_HALF: Final = Fraction(1, 2)
_ROOT: Final = sqrt(2)
# By the size of the tile's output, the likeliest first. Lavin's points: OpenCV, cuDNN, NNPACK,
# ncnn's F(2) and F(6). The roots: ncnn's F(4). Whole numbers: MNN.
WINOGRAD: Final = (
    Winograd("Winograd F(2×2)", (0, 1, -1)),
    Winograd("Winograd F(4×4, points 0, ±1/√2, ±√2)", (0, 1 / _ROOT, -1 / _ROOT, _ROOT, -_ROOT)),
    Winograd("Winograd F(4×4, points 0, ±1, ±2)", (0, 1, -1, 2, -2)),
    Winograd("Winograd F(6×6, points 0, ±1, ±2, ±1/2)", (0, 1, -1, 2, -2, _HALF, -_HALF)),
    Winograd("Winograd F(6×6, points 0, ±1, ±2, ±3)", (0, 1, -1, 2, -2, 3, -3)),
)
