"""Mistakes that photographs cannot show: in weights of units that stay dark, or read nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.network.reference import for_channels, walk
from vgg16_spec.architecture import Configuration, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

Values: TypeAlias = NDArray[Any]
# Changes the parameters of a layer, in place: its weight and bias.
Change: TypeAlias = Callable[[Values, Values], None]

# A layer of every kind; the one after each reads the unit that is dark in it.
LAYERS: Final = ("block1_conv2", "block3_conv1", "block5_conv3", "fc1", "fc2")
UNIT: Final = 1
# A dark unit's bias, in terms of what the weights of any unit add up to.
_BELOW: Final = 1.05


def with_dark_units(
    checkpoint: Checkpoint, images: Values, layers: Sequence[str] = LAYERS
) -> Checkpoint:
    """The network with unit ``UNIT`` of each layer dark on these images, by a lower bias."""
    for layer in layers:
        preactivation = next(
            tap.preactivation for tap in walk(checkpoint, images) if tap.tap == layer
        )
        bias = np.array(checkpoint[f"{layer}.bias"])
        # As far as any unit of the layer gets: no single weight could light this one.
        bias[UNIT] = -_BELOW * np.abs(preactivation - for_channels(bias, preactivation)).max()
        checkpoint = checkpoint.with_tensors({f"{layer}.bias": bias})
    return checkpoint


def dark(values: Values) -> NDArray[np.bool_]:
    """Which units of a tap no image lights: (N, units) or (N, units, H, W) -> (units,)."""
    lit: NDArray[np.bool_] = np.any(values > 0, axis=(0, *range(2, values.ndim)))
    return ~lit


def planted(checkpoint: Checkpoint, mistake: str, layer: str) -> tuple[Checkpoint, str]:
    """The checkpoint with a mistake about the dark unit of a layer, and the layer that has it."""
    if mistake == COLUMN:
        return _without_column(checkpoint, layer)
    names = [f"{layer}.{kind}" for kind in ("weight", "bias")]
    weight, bias = (np.array(checkpoint[name]) for name in names)
    ROWS[mistake](weight, bias)
    return checkpoint.with_tensors(dict(zip(names, (weight, bias), strict=True))), layer


def _without_column(checkpoint: Checkpoint, layer: str) -> tuple[Checkpoint, str]:
    """Zeros instead of the weights that the next layer has for the unit."""
    configuration = checkpoint.configuration
    reader = _reader(configuration, layer)
    weight = np.array(checkpoint[f"{reader.name}.weight"])
    units = configuration.weight_shapes[f"{layer}.bias"][0]
    # fc1 has as many columns for a channel as its map has pixels.
    weight.reshape(len(weight), units, -1)[:, UNIT] = 0
    return checkpoint.with_tensors({f"{reader.name}.weight": weight}), reader.name


def _reader(configuration: Configuration, layer: str) -> WeightedLayer:
    layers = configuration.weighted_layers
    return layers[[each.name for each in layers].index(layer) + 1]


def _zeroed(weight: Values, bias: Values) -> None:
    weight[UNIT] = bias[UNIT] = 0


def _one_zeroed(weight: Values, bias: Values) -> None:
    del bias
    weight[UNIT].flat[0] = 0


def _one_doubled(weight: Values, bias: Values) -> None:
    del bias
    weight[UNIT].flat[-1] *= 2


COLUMN: Final = "the weights of an input that is always zero are zeroed"
ROWS: Final[Mapping[str, Change]] = MappingProxyType(
    {
        "the weights and the bias of a dark unit are zeroed": _zeroed,
        "one weight of a dark unit is zeroed": _one_zeroed,
        "one weight of a dark unit is doubled": _one_doubled,
    }
)
MISTAKES: Final = (*ROWS, COLUMN)
