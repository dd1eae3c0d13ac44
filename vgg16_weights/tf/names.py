"""What TensorFlow's files call a layer's tensors, and in what order of axes they keep them."""

from __future__ import annotations

import math
from typing import Final

from vgg16_spec.architecture import Shape

_PARTS: Final = {
    "weight": ("weights", "weight", "kernel", "W", "w"),
    "bias": ("biases", "bias", "b"),
}
_PART_OF: Final = {theirs: part for part, names in _PARTS.items() for theirs in names}


def part_of(name: str) -> str:
    """``weights`` or ``kernel`` -> ``weight``, ``biases`` -> ``bias``; any other name as it is."""
    return _PART_OF.get(name, name)


def stored_shape(key: str, shape: Shape) -> Shape:
    """The shape of ``<layer>.<part>``, dense layers that are convolutions as matrices.

    (H, W, in, out) -> (H * W * in, out): the values in the same order, in which TensorFlow flattens
    the map that such a kernel covers.
    """
    layer = key.rpartition(".")[0].rpartition("/")[2]
    is_dense = len(shape) == 4 and layer.startswith("fc")
    return (math.prod(shape[:3]), shape[3]) if is_dense else shape
