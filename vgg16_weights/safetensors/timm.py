"""timm's weights as safetensors: fc1 and fc2 are convolutions, with the same values in order.

fc1 goes over the whole last map, (out, C, H, W) instead of (out, C * H * W), and fc2 is of 1x1,
(out, in, 1, 1) instead of (out, in): timm's ``ConvMlp`` in ``timm/models/vgg.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import timm_keys
from vgg16_weights.formats import Format
from vgg16_weights.safetensors.keyed import is_keyed, read_keyed, write_keyed

FORMAT: Final = Format(name="timm", ending="", title="timm's VGG as safetensors (.safetensors)")


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether it is a safetensors file with just the tensors of one of timm's VGGs."""
    return is_keyed(path, start, FORMAT)


def read(path: Path) -> Checkpoint:
    """Weights under timm's keys as a checkpoint; its tensors are views into the mapped file.

    Without metadata of ours the recipe is ``torchvision``, that of timm's own weights too.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    return read_keyed(path, FORMAT)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as timm's model of the same configuration loads it strictly.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    feature_shape = checkpoint.configuration.feature_shape
    shapes = {
        name: _stored_shape(name, shape, feature_shape)
        for name, shape in checkpoint.configuration.weight_shapes.items()
    }
    write_keyed(checkpoint, path, timm_keys(checkpoint.configuration), shapes)


def _stored_shape(name: str, shape: Shape, feature_shape: Shape) -> Shape:
    """fc1: (out, C * H * W) -> (out, C, H, W); fc2: (out, in) -> (out, in, 1, 1)."""
    match name:
        case "fc1.weight":
            return (shape[0], *feature_shape)
        case "fc2.weight":
            return (*shape, 1, 1)
        case _:
            return shape
