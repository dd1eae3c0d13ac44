"""TF32 without a GPU: a float32 run whose operands keep 10 bits of the mantissa."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint

Values = NDArray[np.float32]

_KEPT = np.uint32(0xFFFFE000)
_HALF_A_GAP = np.uint32(1 << 12)


def nearest(values: Values) -> Values:
    """Round to the nearest numbers with 10 bits after the leading one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + _HALF_A_GAP) & _KEPT).view(np.float32)


def truncated(values: Values) -> Values:
    """Truncate to 10 bits after the leading one, towards zero."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (bits & _KEPT).view(np.float32)


def run_with_operands(
    checkpoint: Checkpoint, images: Values, rounded: Callable[[Values], Values]
) -> dict[str, Values]:
    """Every tap's output by name, with both operands of every product rounded first.

    Args:
        checkpoint: the weights, and through its configuration the network.
        images: (N, 3, H, W), preprocessed.
        rounded: applied to the weights and the input of every layer.
    """
    values = images
    taps: dict[str, Values] = {}
    for layer in checkpoint.configuration.layers:
        match layer:
            case Convolution() | Dense():
                weight = rounded(checkpoint[f"{layer.name}.weight"])
                values = reference.multiply(layer, weight, rounded(values))
                values += reference.for_channels(checkpoint[f"{layer.name}.bias"], values)
                if isinstance(layer, Convolution) or layer.relu:
                    values = np.maximum(values, 0)
            case MaxPooling():
                values = reference.windows(values).max(axis=-1)
            case Flatten():
                values = reference.flatten(values)
        taps[layer.name] = values
    return taps
