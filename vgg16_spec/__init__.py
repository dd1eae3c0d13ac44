"""The network without a framework: architecture, names, layouts, checkpoints, preprocessing.

Nothing in this package imports TensorFlow, Keras, PyTorch, JAX or ONNX Runtime, so that every
framework above it can be judged against the same description.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from vgg16_spec.checkpoint import open_checkpoint
    from vgg16_spec.checkpoint.seeded import seeded_checkpoint

__all__ = ["open_checkpoint", "seeded_checkpoint"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoint": ["open_checkpoint"],
        "checkpoint.seeded": ["seeded_checkpoint"],
    },
)
