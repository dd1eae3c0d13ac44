"""What each layer is called in each framework: one literal table.

torchvision numbers the modules of ``features``, so its names depend on the configuration; timm
takes the same numbers and renames the classifier. Column C is in neither: its numbers follow the
same rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Shape


class Names(NamedTuple):
    """One layer's names; torchvision's and timm's by configuration where they differ."""

    canonical: str
    keras: str
    torchvision: str
    timm: str


_FEATURES: Final = {
    # canonical and Keras: position in torchvision's and timm's `features`
    #                A     B     C     D     E
    "block1_conv1": (0, 0, 0, 0, 0),
    "block1_conv2": (None, 2, 2, 2, 2),
    "block2_conv1": (3, 5, 5, 5, 5),
    "block2_conv2": (None, 7, 7, 7, 7),
    "block3_conv1": (6, 10, 10, 10, 10),
    "block3_conv2": (8, 12, 12, 12, 12),
    "block3_conv3": (None, None, 14, 14, 14),
    "block3_conv4": (None, None, None, None, 16),
    "block4_conv1": (11, 15, 17, 17, 19),
    "block4_conv2": (13, 17, 19, 19, 21),
    "block4_conv3": (None, None, 21, 21, 23),
    "block4_conv4": (None, None, None, None, 25),
    "block5_conv1": (16, 20, 24, 24, 28),
    "block5_conv2": (18, 22, 26, 26, 30),
    "block5_conv3": (None, None, 28, 28, 32),
    "block5_conv4": (None, None, None, None, 34),
}
_CLASSIFIER: Final = (
    #     canonical      Keras          torchvision     timm
    Names("fc1", "fc1", "classifier.0", "pre_logits.fc1"),
    Names("fc2", "fc2", "classifier.3", "pre_logits.fc2"),
    Names("predictions", "predictions", "classifier.6", "head.fc"),
)
_COLUMNS: Final = {"A": 0, "B": 1, "C": 2, "D": 3, "E": 4, "tiny": 3}


def names(configuration: Configuration) -> dict[str, Names]:
    """The names of the layers that have weights, by canonical name, in canonical order."""
    column = _COLUMNS[configuration.name]
    table: dict[str, Names] = {}
    for name, positions in _FEATURES.items():
        if (position := positions[column]) is not None:
            numbered = f"features.{position}"
            table[name] = Names(name, name, numbered, numbered)
    if configuration.include_top:
        table |= {row.canonical: row for row in _CLASSIFIER}
    return table


def torchvision_keys(configuration: Configuration) -> dict[str, str]:
    """Canonical tensor name -> key in torchvision's state dict, in canonical order."""
    return _keys(configuration, "torchvision")


def timm_keys(configuration: Configuration) -> dict[str, str]:
    """Canonical tensor name -> key in timm's state dict, in canonical order."""
    return _keys(configuration, "timm")


def _keys(configuration: Configuration, library: str) -> dict[str, str]:
    return {
        f"{row.canonical}.{kind}": f"{getattr(row, library)}.{kind}"
        for row in names(configuration).values()
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
    for configuration in CONFIGURATIONS.values():
        for include_top in (True, False):
            classes = next(iter(shapes.get(f"{_head(shapes)}.bias", ())), 0) or None
            candidate = configuration.with_head(include_top=include_top, classes=classes)
            for source, keys in (
                ("torchvision-safetensors", torchvision_keys(candidate)),
                ("timm", timm_keys(candidate)),
            ):
                if set(keys.values()) == set(shapes) and all(
                    _same_values(shape, shapes[keys[name]], candidate)
                    for name, shape in candidate.weight_shapes.items()
                ):
                    return candidate, keys, source
    return None


def _head(shapes: Mapping[str, Shape]) -> str:
    head = _CLASSIFIER[-1]
    return head.timm if f"{head.timm}.bias" in shapes else head.torchvision


def _same_values(canonical: Shape, found: Shape, configuration: Configuration) -> bool:
    """Whether a tensor of one shape has a canonical one's values in the same order."""
    if len(canonical) == 2 and len(found) == 4:
        outputs, *merged = found
        maps = configuration.feature_shape, (canonical[1], 1, 1)
        return outputs == canonical[0] and tuple(merged) in maps
    return canonical == found
