"""What a network stores to normalise images itself, and the recipe that it amounts to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOATS, Tensor
from vgg16_spec.checkpoint.tensors import as_float32
from vgg16_spec.errors import BadInput, few
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights.matching.layers import Layer

# Relative precision of float16, in which such numbers may be stored.
_CLOSE: Final = 1e-3
# What such a network may expect: pixels of 0..255, or of 0..1.
_UNITS: Final = (1.0, 255.0)
_NAMES: Final = re.compile(r"(.*_)?(mean|std|shift|scale)")


def are_statistics(layer: Layer) -> bool:
    """Whether a layer only normalises images: every tensor has one number per channel."""
    return (
        not layer.normalises
        and all(map(_NAMES.fullmatch, layer.keys))
        and all(math.prod(shape) == IMAGE_CHANNELS for shape in layer.shapes.values())
    )


def recipe_within(statistics: Mapping[str, Tensor], label: str) -> Recipe:
    """The named recipe whose mean and deviation a file's tensors are.

    Args:
        statistics: key in the file -> tensor of three values, one a channel.
        label: what errors call the file.

    Raises ``BadInput`` for numbers of no named recipe: a file does not tell their unit and order.
    """
    values = {
        key: as_float32(tensor.view().ravel()).astype(np.float64)
        for key, tensor in statistics.items()
        if tensor.dtype in FLOATS
    }
    means = [each for key, each in values.items() if key.endswith("mean")]
    deviations = [each for key, each in values.items() if key.endswith("std")]
    if len(values) == len(means) + len(deviations) and len(means) == 1 and len(deviations) < 2:
        for recipe in RECIPES.values():
            if _is_of(recipe, means[0], *deviations):
                return recipe
    shown = few(
        f"`{key.rpartition('/')[2]}` ({', '.join(f'{number:g}' for number in each)})"
        for key, each in values.items()
    )
    problem = f"its network normalises images itself: {shown or few(statistics)}"
    raise BadInput(
        label, problem, "--recipe with the name or the file of a recipe that does the same"
    )


def _is_of(recipe: Recipe, mean: Array, deviation: Array | None = None) -> bool:
    """Whether these are a recipe's, in one of the units; a missing deviation is 1."""
    if not mean.any():
        return False
    deviation = np.ones(3) if deviation is None else deviation
    return any(
        np.allclose(mean * unit, np.multiply(recipe.mean, recipe.scale), _CLOSE, 0)
        and np.allclose(deviation * unit, np.multiply(recipe.std, recipe.scale), _CLOSE, 0)
        for unit in _UNITS
    )
