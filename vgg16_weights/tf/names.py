"""What TensorFlow's files call a layer's tensors, and in what order of axes they keep them."""

from __future__ import annotations

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
    """The shape of ``<layer>.<part>`` without the axes of a dense layer that is a 1x1 convolution.

    (1, 1, in, out) -> (in, out): over a flattened map, its inputs have the order H, W, C, as those
    of any dense layer of TensorFlow's.
    """
    layer = key.rpartition(".")[0].rpartition("/")[2]
    is_pointwise = len(shape) == 4 and shape[:2] == (1, 1)
    return shape[2:] if is_pointwise and layer.startswith("fc") else shape
