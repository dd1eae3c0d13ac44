"""What torchvision and timm call the layers; Keras's names are the canonical ones.

torchvision numbers the modules of ``features``, so its names depend on the configuration; timm
takes the same numbers and renames the classifier. Column C is in neither: its numbers follow the
same rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from vgg16_spec.architecture import (
    CONFIGURATIONS,
    Configuration,
    Convolution,
    Dense,
    MaxPooling,
    Shape,
)


class Names(NamedTuple):
    """One layer's names in both libraries."""

    torchvision: str
    timm: str


# The classifier's layers, whatever the configuration.
HEAD: Final = {
    "fc1": Names("classifier.0", "pre_logits.fc1"),
    "fc2": Names("classifier.3", "pre_logits.fc2"),
    "predictions": Names("classifier.6", "head.fc"),
}


def names(configuration: Configuration) -> dict[str, Names]:
    """The names of the layers that have weights, by canonical name, in canonical order."""
    table: dict[str, Names] = {}
    position = 0
    for layer in configuration.layers:
        match layer:
            case Convolution():
                table[layer.name] = Names(f"features.{position}", f"features.{position}")
                position += 2  # the convolution and its ReLU
            case MaxPooling():
                position += 1
            case Dense():
                table[layer.name] = HEAD[layer.name]
    return table


def torchvision_keys(configuration: Configuration) -> dict[str, str]:
    """Canonical tensor name -> key in torchvision's state dict, in canonical order."""
    return _keys(configuration, "torchvision")


def timm_keys(configuration: Configuration) -> dict[str, str]:
    """Canonical tensor name -> key in timm's state dict, in canonical order."""
    return _keys(configuration, "timm")


def _keys(configuration: Configuration, library: Literal["torchvision", "timm"]) -> dict[str, str]:
    return {
        f"{name}.{kind}": f"{getattr(row, library)}.{kind}"
        for name, row in names(configuration).items()
        for kind in ("weight", "bias")
    }


def recognise(shapes: Mapping[str, Shape]) -> tuple[Configuration, dict[str, str], str] | None:
    """Whose tensors these are, where they are torchvision's or timm's in full.

    Args:
        shapes: key -> shape. timm's fc1 is a convolution over the whole map, (out, C, H, W), and
            its fc2 one of 1x1; both have the same values in the same order as a dense layer.

    Returns the configuration, canonical tensor name -> key in canonical order, and the format's
    name; ``None`` for any other tensors.
    """
    head = HEAD["predictions"]
    for source, bias, keys_of in (
        ("torchvision-safetensors", f"{head.torchvision}.bias", torchvision_keys),
        ("timm", f"{head.timm}.bias", timm_keys),
    ):
        classes = next(iter(shapes.get(bias, ())), 0) or None
        for known in CONFIGURATIONS.values():
            candidate = known.with_head(include_top=bias in shapes, classes=classes)
            keys = keys_of(candidate)
            if set(keys.values()) == set(shapes) and all(
                same_values(shape, shapes[keys[name]], candidate.feature_shape)
                for name, shape in candidate.weight_shapes.items()
            ):
                return candidate, keys, source
    return None


def same_values(
    canonical: Shape, found: Shape, feature_shape: Shape, *, is_chw: bool = False
) -> bool:
    """Whether a tensor of one shape has a canonical one's values in the same order.

    A dense layer may be a convolution: fc1 over the whole last map, the others of 1x1. As one of
    1x1, fc1 has its inputs in the canonical order only where it ``is_chw``.
    """
    if len(canonical) == 2 and len(found) == 4:
        is_fc1 = canonical[1] == math.prod(feature_shape)
        kernels = [feature_shape] if is_fc1 else []
        kernels += [(canonical[1], 1, 1)] if is_chw or not is_fc1 else []
        return found[0] == canonical[0] and found[1:] in kernels
    return canonical == found
