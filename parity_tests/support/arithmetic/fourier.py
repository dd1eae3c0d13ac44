"""A fast Fourier transform in float32, one rounding after the other, with twiddles of any accuracy.

Libraries compute theirs in ways that differ: by radix 2, 4 or more, and with twiddles from tables
or from a fast sine, which are off by a unit in the last place or more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Complex64: TypeAlias = NDArray[np.complex64]
# The length whose table has the wrong twiddle.
_WRONG: Final = 16


@dataclass(frozen=True)
class Transform:
    """Decimation in time.

    Attributes:
        radix: 2 or 4; the length of what is transformed is a power of it.
        off: by how many units in the last place a twiddle may be off, beyond its rounding.
        wrong: what the first twiddle of the transforms of 16 points is multiplied by.
    """

    radix: int
    off: float = 0.0
    wrong: float = 1.0
    _tables: dict[int, Complex64] = field(default_factory=dict, repr=False)

    def along_both(self, values: Complex64) -> Complex64:
        """Transform the last two axes."""
        return self.along(self.along(values).swapaxes(-1, -2)).swapaxes(-1, -2)

    def along(self, values: Complex64) -> Complex64:
        """Transform the last axis."""
        length = values.shape[-1]
        if length == 1:
            return values
        parts = [self.along(values[..., start :: self.radix]) for start in range(self.radix)]
        table = self._table(length)
        turned = [
            part * table[start * np.arange(part.shape[-1])]
            if start and part.shape[-1] > 1
            else part
            for start, part in enumerate(parts)
        ]
        if self.radix == 2:
            first, second = turned
            return np.concatenate([first + second, first - second], axis=-1)
        first, second, third, fourth = turned
        even, odd = (first + third, first - third), (second + fourth, second - fourth)
        quarter = np.empty_like(odd[1])  # times -i, which rounds nothing
        quarter.real, quarter.imag = odd[1].imag, -odd[1].real
        halves = [even[0] + odd[0], even[1] + quarter, even[0] - odd[0], even[1] - quarter]
        return np.concatenate(halves, axis=-1)

    def _table(self, length: int) -> Complex64:
        if length not in self._tables:
            generator = np.random.default_rng(length)
            angles = 2 * np.pi * np.arange(length) / length
            parts = np.stack([np.cos(angles), -np.sin(angles)])
            units = np.spacing(np.abs(parts).astype(np.float32)).astype(np.float64)
            exact = np.abs(parts) < 1e-9  # no table has these wrong
            parts += np.where(exact, 0, units * generator.uniform(-self.off, self.off, parts.shape))
            real, imaginary = np.where(exact, 0, parts).astype(np.float32)
            self._tables[length] = (real + 1j * imaginary).astype(np.complex64)
            self._tables[length][1] *= np.float32(self.wrong if length == _WRONG else 1)
        return self._tables[length]
