"""VGG's weights in every file format: read, written, told from one another.

``import vgg16_weights`` alone imports nothing that takes time; using a name of it does. No format
needs Keras; only writing ``.pth`` needs PyTorch, and only TensorFlow's own checkpoints need
TensorFlow. The weights of an ONNX graph are read by ``vgg16_parity.own_port.checkpoint_of``.

What is written carries its manifest inside: the origin's name, format and sha256, the preprocessing
recipe and the licence, where the format's own libraries do not look. That is in safetensors'
metadata, an attribute of HDF5's root, a member of a ``.pth`` archive, the comment of any other zip
archive, or a member where the comment is too short. A manifest that is not one of ours is ignored,
as in a file that has none: the file itself is then the origin, and the recipe is that of the
format's own weights.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from vgg16_weights.detection import detect, read, writable, write
    from vgg16_weights.formats import FORMATS
    from vgg16_weights.open import open_weights

__all__ = ["FORMATS", "detect", "open_weights", "read", "writable", "write"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "detection": ["detect", "read", "writable", "write"],
        "formats": ["FORMATS"],
        "open": ["open_weights"],
    },
)
