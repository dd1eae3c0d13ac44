"""What a verdict may assume of a runtime's arithmetic beyond its numeric mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.numeric_modes import Mode


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
