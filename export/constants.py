"""What both exports agree on: their own names, the names at the graph's edge, the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from vgg16_spec.architecture import Configuration, Shape

Framework = Literal["keras", "torch"]

# Images (N, 3, H, W) and weights in canonical layout and order -> logits (N, classes), or features
# (N, C, H, W); all are tensors of a Keras backend.
Stateless: TypeAlias = Callable[..., Any]

INPUT: Final = "images"
LOGITS: Final = "logits"
FEATURES: Final = "features"
BATCH: Final = "batch"
HEIGHT: Final = "height"
WIDTH: Final = "width"

MODEL_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"
# Triton Inference Server wants a version's files in a folder that has the version's number, and
# ONNX refuses links: the weights lie there once, and both graphs of a bundle point at them.
VERSION: Final = "1"
TEST_DATA: Final = "test_data_set_0"

# The newest that tf2onnx writes and the oldest that PyTorch's exporter writes without converting.
OPSET: Final = 18

# Two images, and for features a side that is no multiple of 32, where a trace needs numbers:
# versions of PyTorch's exporter take a batch of one for a constant (pytorch/pytorch#157621).
TRACED_BATCH: Final = 2
TRACED_SIDE: Final = 70


def traced_shape(configuration: Configuration) -> Shape:
    """(N, 3, H, W) of the images that a trace is made with."""
    channels, height, width = configuration.input_shape
    if not configuration.include_top:
        height = width = TRACED_SIDE
    return (TRACED_BATCH, channels, height, width)


def symbolic_shape(configuration: Configuration) -> tuple[int | str, ...]:
    """(batch, 3, H, W) with the names of the free axes; without the classifier all but 3 are."""
    channels, height, width = configuration.input_shape
    if configuration.include_top:
        return (BATCH, channels, height, width)
    return (BATCH, channels, HEIGHT, WIDTH)


def output_name(configuration: Configuration) -> str:
    """What the network's output is called: ``logits``, or ``features`` without the classifier."""
    return LOGITS if configuration.include_top else FEATURES
