"""The canonical checkpoint: one safetensors file that every runtime reads."""

from vgg16_spec.checkpoint.checkpoint import (
    FORMAT,
    MANIFEST,
    Checkpoint,
    configuration_of,
    digest,
    misfits,
    open_checkpoint,
    write_checkpoint,
)
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.tensors import FLOAT32, Tensor

__all__ = [
    "FLOAT32",
    "FORMAT",
    "MANIFEST",
    "Checkpoint",
    "Metadata",
    "Tensor",
    "configuration_of",
    "digest",
    "misfits",
    "open_checkpoint",
    "write_checkpoint",
]
