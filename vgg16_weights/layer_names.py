"""What the layers are called in the authors' own files, and whose tensors a file's tensors are.

Their Caffe model calls the layers ``conv1_1`` … ``conv5_3``, ``fc6``, ``fc7`` and ``fc8``, and so
do the files that were made from it. It reads BGR; some of those files were turned to RGB, by
reversing the input channels of the first kernel, and subtract the same means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.checkpoint import configuration_of
from vgg16_spec.images.preprocessing import recipe_named
from vgg16_spec.layouts import Array

# What errors advise where a library is missing that only such files need.
PIP_LINE: Final = 'pip install -e ".[formats]"'
FIRST_KERNEL: Final = "block1_conv1.weight"

_DENSE: Final = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
_CANONICAL: Final = {authors: ours for ours, authors in _DENSE.items()}
_AUTHORS_CONVOLUTION: Final = re.compile(r"conv([1-9])_([1-9])")
_KERNEL: Final = re.compile(r"block[1-9]_conv[1-9]\.weight")


def authors_name(layer: str) -> str:
    """``block3_conv2`` -> ``conv3_2``, ``fc1`` -> ``fc6``"""
    return _DENSE.get(layer) or layer.replace("_conv", "_").replace("block", "conv")


def canonical_name(name: str) -> str:
    """The inverse of `authors_name`; a name that is none of theirs is marked as one."""
    if match := _AUTHORS_CONVOLUTION.fullmatch(name):
        return f"block{match[1]}_conv{match[2]}"
    return _CANONICAL.get(name, f"layer {name!r}")


def configuration_named(shapes: Mapping[str, Shape], label: str) -> Configuration:
    """The configuration that tensors of these names and shapes, in any order, belong to.

    Only tensors that have a convolution's name decide which: a stray one is then reported by its
    name, with all the others. The arguments and the error are ``configuration_of``'s.
    """
    named = {
        name: shapes[name]
        for name in sorted(shapes)
        if _KERNEL.fullmatch(name) or len(shapes[name]) != 4
    }
    return configuration_of(named, label)


def reads_bgr(recipe: str, label: str) -> bool:
    """Whether a recipe's channels are BGR, so that a file for RGB has the first kernel reversed.

    Raises ``BadInput`` that names ``label`` for an unknown recipe.
    """
    return recipe_named(recipe, label).channels == "BGR"


def swap_rgb_bgr(kernel: Array) -> Array:
    """(out, in, kH, kW) with its input channels in reverse order: BGR <-> RGB, a view."""
    return kernel[:, ::-1]
