"""The names of a layer's tensors in TensorFlow's files, and the order of their axes."""

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
    """The shape of ``<layer>.<part>``; of a dense layer stored as a convolution, the matrix's.

    (H, W, in, out) -> (H * W * in, out). The values keep their order, since TensorFlow flattens the
    map that such a kernel covers in the same one.
    """
    layer = key.rpartition(".")[0].rpartition("/")[2]
    is_dense = len(shape) == 4 and layer.startswith("fc")
    return (math.prod(shape[:3]), shape[3]) if is_dense else shape
