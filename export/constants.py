"""Names and numbers that both exports share: files, the edge of the graph, the opset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from vgg16_spec.architecture import Configuration, Shape

Framework = Literal["keras", "torch"]

# A network without weights of its own: images (N, 3, H, W) and the weights, in canonical layout and
# order -> logits (N, classes), or features (N, C, H, W). All are tensors of one framework.
Stateless: TypeAlias = Callable[..., Any]

INPUT: Final = "images"
LOGITS: Final = "logits"
FEATURES: Final = "features"
BATCH: Final = "batch"
HEIGHT: Final = "height"
WIDTH: Final = "width"

MODEL_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"
# Triton Inference Server reads a version's files from a folder named after its number, and ONNX
# refuses links: the weights lie there once, and both graphs of a bundle point to them.
VERSION: Final = "1"
TEST_DATA: Final = "test_data_set_0"

# The newest that tf2onnx writes, and the oldest that PyTorch's exporter writes without conversion.
OPSET: Final = 18

# PyTorch's exporter may treat a batch of one as a constant (pytorch/pytorch#157621). Without the
# classifier, images have a side that is not a multiple of 32.
_TRACED_BATCH: Final = 2
_TRACED_SIDE: Final = 70


def traced_shape(configuration: Configuration) -> Shape:
    """(N, 3, H, W) of the images that a trace is made with, where it needs numbers."""
    channels, height, width = configuration.input_shape
    if not configuration.include_top:
        height = width = _TRACED_SIDE
    return (_TRACED_BATCH, channels, height, width)


def symbolic_shape(configuration: Configuration) -> tuple[int | str, ...]:
    """(batch, 3, H, W); without the classifier height and width are free too."""
    channels, height, width = configuration.input_shape
    if configuration.include_top:
        return (BATCH, channels, height, width)
    return (BATCH, channels, HEIGHT, WIDTH)
