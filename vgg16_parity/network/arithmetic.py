"""What a verdict may assume of a runtime's arithmetic beyond its numeric mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.numeric_modes import Mode


class Algorithm(Protocol):
    """An algorithm for a convolution, which rounds otherwise than a direct sum does."""

    @property
    def name(self) -> str:
        """Its name in notes."""

    def rounding(
        self, images: Float64, variance: Float32, weight: NDArray[np.float32], mode: Mode
    ) -> Float32:
        """The variance that the algorithm adds to a convolution with zero padding, stride 1.

        Args:
            images: the layer's exact inputs, (N, in, H, W).
            variance: of the inputs' error, in units of u²/3 for float32.
            weight: (out, in, kH, kW).
            mode: the numeric mode.

        Returns:
            (N, out, H, W), in the same units, without the error that the input brings along.
        """


@dataclass(frozen=True)
class Arithmetic:
    """What is assumed of a runtime's arithmetic besides its numeric mode.

    Attributes:
        modes: layer -> the numeric mode from that layer on.
        algorithms: layer -> the algorithm of its convolution, for a direct sum.
        input_deviation: standard deviation of the error of the images, (N, 3, H, W), for a runtime
            that prepared them itself; None if it was given them.
    """

    modes: Mapping[str, Mode] = field(default_factory=dict)
    algorithms: Mapping[str, Algorithm] = field(default_factory=dict)
    input_deviation: NDArray[np.floating[Any]] | None = None


# Every layer a direct sum in the run's mode, on the images that were given.
PLAIN: Final = Arithmetic()
