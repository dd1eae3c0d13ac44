"""VGG's weights in every file format: read, written, told from one another.

``import vgg16_weights`` alone imports nothing that takes time; using a name of it does. No format
needs TensorFlow or Keras; only ``.pth`` needs PyTorch.

What is written carries its manifest inside: the origin's name, format and sha256, the
preprocessing recipe and the licence, where the format's own libraries do not look. That is in
safetensors' metadata, an attribute of HDF5's root, a member of a ``.pth`` archive, the comment of
any other zip archive. So it cannot come to lie beside another file. A manifest that is not one of
ours is ignored, as in a file that has none: the file itself is then the origin, and the recipe is
that of the format's own weights.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgg16_weights.detection import detect, read, writable, write
    from vgg16_weights.open import open_weights
    from vgg16_weights.registry import FORMATS

__all__ = ["FORMATS", "detect", "open_weights", "read", "writable", "write"]

_ROOMS = {
    "FORMATS": "registry",
    "detect": "detection",
    "open_weights": "open",
    "read": "detection",
    "writable": "detection",
    "write": "detection",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
