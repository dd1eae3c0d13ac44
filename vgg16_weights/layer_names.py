"""What the layers are called in the authors' own files.

Their Caffe model calls them ``conv1_1`` … ``conv5_3``, ``fc6``, ``fc7`` and ``fc8``, and so do the
files that were made from it. It reads BGR; some of those files were turned to RGB, by reversing the
input channels of the first kernel, and subtract the same means.
"""

from __future__ import annotations

import re
from typing import Final

_DENSE: Final = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
_CANONICAL: Final = {authors: ours for ours, authors in _DENSE.items()}
_AUTHORS_CONVOLUTION: Final = re.compile(r"conv([1-9])_([1-9])")


def authors_name(layer: str) -> str:
    """``block3_conv2`` -> ``conv3_2``, ``fc1`` -> ``fc6``"""
    return _DENSE.get(layer) or layer.replace("_conv", "_").replace("block", "conv")


def canonical_name(name: str) -> str:
    """The inverse of `authors_name`; a name that is none of theirs is marked as one."""
    if match := _AUTHORS_CONVOLUTION.fullmatch(name):
        return f"block{match[1]}_conv{match[2]}"
    return _CANONICAL.get(name, f"layer {name!r}")
