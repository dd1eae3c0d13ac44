"""A 3x3 convolution by the fast Fourier transform of tiles, and the rounding error that it makes.

With N the points of a tile, L = log2 N, X and W the spectra of a tile and of a kernel, the sum over
C channels is M = Σ_c X W at every frequency. In units of u²/3, of both parts of a complex number:

    S_M = Σ_c |X|² |W|²     v_M = S_M (2 + C/6) + |M|² C/3 + 3 L Σ_c mean|X|² mean|W|²
    v   = (mean v_M + 3/2 L mean|M|²) / N

The 2 are the products and the sum of a complex product. Each of the L levels of a transform rounds
3/2 times in a value of its rms, in X, in W and on the way back: once for its sum and, in radix 4,
for the two roundings of a twiddle's product in three quarters of the values of every other level.

The error is spread evenly over the tile, which underestimates it where most of the tile is past the
map's edge: on the way back, errors gather where the sums do. A map of 14x14 in a tile of 32x32 has
1.5 times the error of one that fills the tile, in a tile of 64x64 2.5 times.

Source: Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 24.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import CHUNK_VALUES, join, tiles
from onnx_arbiter.error_model import Float32, Float64, path_rounding
from onnx_arbiter.numeric_modes import Mode, float32_units

# Of a value of a transform's rms, at each level of radix 2.
_ROUNDINGS: Final = 1.5


@dataclass(frozen=True)
class Fft:
    """Overlap-save with square tiles.

    Attributes:
        size: rows and columns of a tile of inputs; two fewer are outputs.
    """

    size: int

    @property
    def name(self) -> str:
        """Its name in notes."""
        return f"an FFT of tiles of {self.size}×{self.size}"

    @property
    def outputs(self) -> int:
        """How many rows and columns of outputs a tile has."""
        return self.size - 2

    def rounding(
        self,
        images: Float64,
        weight: NDArray[np.float32],
        mode: Mode,
        chunk_values: int = CHUNK_VALUES,
    ) -> Float32:
        """The variance that it adds; as in ``Algorithm``. It holds ``chunk_values`` at a time."""
        size, outputs = self.size, self.outputs
        # (out, in, T, T // 2 + 1) -> (frequencies, out, in)
        kernels = np.fft.rfft2(weight, (size, size)).astype(np.complex64)
        kernels = np.ascontiguousarray(kernels.reshape(*weight.shape[:2], -1).transpose(2, 0, 1))
        powers = np.square(np.abs(kernels))
        mean_kernel = self._mean(powers)
        of_products, of_sums = path_rounding(weight.shape[1])
        operands = (mode.operands / mode.sums) ** 2
        levels = _ROUNDINGS * 2 * log2(size)
        cut = tiles(images, outputs, size)
        channels, count, rows, columns = cut.shape[:4]
        variance = np.empty((len(weight), count, rows, columns), np.float32)
        step = max(1, chunk_values // (max(channels, len(weight)) * size * size))
        for image, row in np.ndindex(count, rows):
            for start in range(0, columns, step):
                block = cut[:, image, row, start : start + step]
                # (in, tiles, T, T // 2 + 1) -> (frequencies, in, tiles)
                given = np.fft.rfft2(block).astype(np.complex64)
                given = given.reshape(*block.shape[:2], -1).transpose(2, 0, 1)
                squares = np.square(np.abs(given))
                summed = self._mean(powers @ squares) * (2 + of_products + 2 * operands)
                outcome = self._mean(np.square(np.abs(kernels @ given))) * (of_sums + levels)
                spread = 2 * levels * (mean_kernel @ self._mean(squares))
                total = (summed + outcome + spread) / size**2
                variance[:, image, row, start : start + step] = total
        parts = np.broadcast_to(
            variance[..., np.newaxis, np.newaxis], (*variance.shape, outputs, outputs)
        )
        height, width = images.shape[2:]
        return float32_units(mode.sums) * join(parts, height, width)

    def _mean(self, powers: Float32) -> Float32:
        """The mean over all frequencies, of which the first axis has those up to the middle."""
        half = self.size // 2 + 1
        counted = np.full(half, 2, np.float32)
        counted[[0, -1]] = 1
        shares = np.tile(counted, self.size) / self.size**2
        mean: Float32 = np.tensordot(shares.astype(np.float32), powers, 1)
        return mean


FFTS: Final = (Fft(16), Fft(32))
