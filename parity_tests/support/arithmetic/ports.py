"""Ports in PyTorch that compute in fewer bits, and pictures prepared as ports prepare them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - PyTorch's own custom

from vgg16_spec.architecture import Convolution, Dense, Flatten
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import Recipe

Values = NDArray[Any]

DTYPES: Final = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def run_in_modes(
    checkpoint: Checkpoint,
    images: Values,
    modes: Mapping[str, str],
    given: Mapping[str, Values] | None = None,
) -> dict[str, Values]:
    """Every tap of a network that computes in another mode from some layers on, (N, C, H, W).

    Args:
        checkpoint: the weights.
        images: (N, 3, H, W).
        modes: layer -> the mode from there on; float32 before.
        given: tap -> what the next layer reads instead of that tap, to run each alone.
    """
    dtype, taps = torch.float32, dict[str, Values]()
    values = torch.tensor(images)
    for layer in checkpoint.configuration.layers:
        dtype = DTYPES[modes[layer.name]] if layer.name in modes else dtype
        values = values.to(dtype)
        if isinstance(layer, Flatten):
            values = values.flatten(1)
            continue
        if isinstance(layer, Convolution | Dense):
            weight, bias = (
                torch.tensor(checkpoint[f"{layer.name}.{kind}"]).to(dtype)
                for kind in ("weight", "bias")
            )
            if isinstance(layer, Convolution):
                values = F.conv2d(values, weight, bias, padding=layer.kernel_size // 2)
            else:
                values = F.linear(values, weight, bias)
            values = F.relu(values) if layer.relu else values
        else:
            values = F.max_pool2d(values, 2)
        taps[layer.name] = values.float().numpy()
        if given is not None and layer.name in given:
            values = torch.tensor(given[layer.name])
    return taps


def prepare(pixels: NDArray[np.uint8], recipe: Recipe, form: str) -> NDArray[np.float32]:
    """Pixels, (N, H, W, 3) in RGB order, as one of ``FORMS`` prepares them: (N, 3, H, W)."""
    ordered = pixels if recipe.channels == "RGB" else pixels[..., ::-1]
    levels = ordered.transpose(0, 3, 1, 2).astype(np.float32)
    mean, std = recipe.mean_and_std()
    made: NDArray[Any] = FORMS[form](levels, np.float32(recipe.scale), mean, std)
    return np.ascontiguousarray(made, np.float32)


def _in_float64(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    return (levels.astype(np.float64) / np.float64(scale) - mean) / std


def _reciprocals(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    one = np.float32(1)
    return (levels * (one / scale) - mean.astype(np.float32)) * (one / std.astype(np.float32))


def _reciprocal_scale(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    return (levels * (np.float32(1) / scale) - mean.astype(np.float32)) / std.astype(np.float32)


def _folded(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    factor, offset = 1 / (np.float64(scale) * std), mean / std
    return levels * factor.astype(np.float32) - offset.astype(np.float32)


def _folded_in_float32(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    std = std.astype(np.float32)
    folded: Values = levels * (np.float32(1) / (scale * std)) - mean.astype(np.float32) / std
    return folded


def _fused(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    factor, offset = 1 / (np.float64(scale) * std), mean / std
    return levels.astype(np.float64) * factor.astype(np.float32) - offset.astype(np.float32)


def _by_levels(levels: Values, scale: np.float32, mean: Values, std: Values) -> Values:
    mean, std = (mean * np.float64(scale)).astype(np.float32), std * np.float64(scale)
    return (levels - mean) / std.astype(np.float32)


# (levels in float32, scale, mean, std in float64) -> values, rounded to float32 at the end.
FORMS: Final = {
    "in float64, rounded once": _in_float64,
    "times 1/scale": _reciprocal_scale,
    "times 1/scale and 1/std": _reciprocals,
    "scale and offset folded": _folded,
    "scale and offset folded in float32": _folded_in_float32,
    "scale and offset fused": _fused,
    "mean and std in levels": _by_levels,
}
