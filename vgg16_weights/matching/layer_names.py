"""The names that layers have in files of VGG weights.

The authors' Caffe model calls them ``conv1_1`` … ``conv5_3``, ``fc6``, ``fc7`` and ``fc8``, and so
do the files that were made from it. It reads BGR. Some of those files were converted to RGB by
reversing the input channels of the first kernel; they subtract the same means.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from vgg16_spec.architecture import Configuration
from vgg16_spec.names import HEAD, names

_DENSE: Final = dict(zip(HEAD, ("fc6", "fc7", "fc8"), strict=True))
_HEAD_OF_D: Final = HEAD.values()

# The classifier's three layers, each as parts of a name.
HEADS: Final = (
    tuple((name,) for name in HEAD),
    tuple((name,) for name in _DENSE.values()),
    tuple(tuple(row.torchvision.split(".")) for row in _HEAD_OF_D),
    tuple(tuple(row.timm.split(".")) for row in _HEAD_OF_D),
    # torchvision's before 0.2, and the authors' weights in its form: dropout comes first.
    (("classifier", "1"), ("classifier", "4"), ("classifier", "6")),
)
# Parts of names that occur only after the convolutions.
HEAD_PARTS: Final = frozenset(
    {part for row in HEADS for name in row for part in name if not part.isdecimal()}
    | {"top", "avgpool", "decoder"}
)
# Naming schemes of convolutions, each as a pattern that only its names match.
CANONICAL: Final = re.compile(r"block[1-9]_conv[1-9]")
AUTHORS: Final = re.compile(r"conv[1-9]_[1-9]")
NUMBERS: Final = re.compile(r"[0-9]{1,3}")


def authors_name(layer: str) -> str:
    """``block3_conv2`` -> ``conv3_2``, ``fc1`` -> ``fc6``"""
    return _DENSE.get(layer) or layer.replace("_conv", "_").replace("block", "conv")


@cache
def convolution_names(configuration: Configuration, scheme: re.Pattern[str]) -> dict[str, str]:
    """A scheme's name -> canonical name, of a configuration's convolutions in order."""
    layers = [layer.name for layer in configuration.convolutions]
    if scheme is CANONICAL:
        return {layer: layer for layer in layers}
    if scheme is AUTHORS:
        return {authors_name(layer): layer for layer in layers}
    table = names(configuration)
    return {table[layer].torchvision.removeprefix("features."): layer for layer in layers}
