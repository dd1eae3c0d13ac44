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

With twiddles that are rounded once, R was 0.60 to 0.80 in simulations by radix 2, 4 and SciPy's, on
noise and on photographs. Twiddles that are off by 1.5 units in the last place more, as those of a
fast sine are, made that 0.7 to 1.2: being the same in every channel and image, they do not average
out, and no constant fits all tables. cuDNN's kernel of 256 points came to 0.86, with 0.65 for
SciPy's on the same photograph. The limits leave room for both.

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

    def is_for(self, height: int, width: int) -> bool:
        """Whether a map fills more than half of a tile's rows or columns, as engines choose."""
        return self.size <= FFTS[0].size or self.size < 2 * (max(height, width) + 2)

    def rounding(
        self,
        images: Float64,
        weight: NDArray[np.float32],
        mode: Mode,
        chunk_values: int = CHUNK_VALUES,
    ) -> Float32:
        """The variance that it adds; as in ``Algorithm``. It holds ``chunk_values`` at a time."""
        size, outputs = self.size, self.outputs
        kernels = Spectrum(weight, size)
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
                summed, outcome, given = kernels.multiplied(block)
                total = summed * (2 + of_products + 2 * operands) + outcome * (of_sums + levels)
                total += 2 * levels * (kernels.power @ given)
                variance[:, image, row, start : start + step] = total / size**2
        parts = np.broadcast_to(
            variance[..., np.newaxis, np.newaxis], (*variance.shape, outputs, outputs)
        )
        height, width = images.shape[2:]
        return float32_units(mode.sums) * join(parts, height, width)


class Spectrum:
    """The spectra of 3x3 kernels in tiles, of which one row of frequencies is held at a time.

    Args:
        weight: (out, in, 3, 3).
        size: of a tile.
    """

    def __init__(self, weight: NDArray[np.float32], size: int) -> None:
        turns = np.outer(np.arange(size), np.arange(weight.shape[-1])) / size
        self._phases = np.exp(-2j * np.pi * turns).astype(np.complex64)
        # (frequencies across, out, in, 3): the frequencies past the middle repeat those before.
        across = self._phases[: size // 2 + 1]
        self._across = np.ascontiguousarray(np.moveaxis(weight @ across.T, -1, 0))
        self._shares = np.full(len(across), 2 / size**2, np.float32)
        self._shares[[0, -1]] /= 2
        # The mean of |W|² over all frequencies is the sum of the squared weights.
        self.power: Float32 = np.square(weight).sum(axis=(2, 3))

    def multiplied(self, block: Float32) -> tuple[Float32, Float32, Float32]:
        """Means over all frequencies of tiles, (in, tiles, T, T).

        Returns:
            Σ_c |X|² |W|² and |Σ_c X W|², (out, tiles), and |X|², (in, tiles).
        """
        # (in, tiles, T, T // 2 + 1) -> (T, T // 2 + 1, in, tiles)
        spectrum = np.fft.rfft2(block).astype(np.complex64).transpose(2, 3, 0, 1)
        outputs, tiled = self.power.shape[0], block.shape[1]
        summed, outcome = (np.zeros((outputs, tiled), np.float32) for _ in range(2))
        given = np.zeros(block.shape[:2], np.float32)
        for phases, down in zip(self._phases, spectrum, strict=True):
            kernels = self._across @ phases
            squares = np.square(np.abs(down))
            summed += self._mean(np.square(np.abs(kernels)) @ squares)
            outcome += self._mean(np.square(np.abs(kernels @ down)))
            given += self._mean(squares)
        return summed, outcome, given

    def _mean(self, powers: Float32) -> Float32:
        """A row's part of the mean over all frequencies."""
        part: Float32 = np.tensordot(self._shares, powers, 1)
        return part


# cuDNN's: tiles of 16x16 and 32x32, and the whole map in the smallest power of two that holds it.
FFTS: Final = tuple(map(Fft, (16, 32, 64, 128, 256)))
