"""What both exports agree on: their own names, the names at the graph's edge, the operators."""

from __future__ import annotations

from typing import Final, Literal

from vgg16.architecture import Configuration, Shape
from vgg16.preprocessing import Layout

Framework = Literal["keras", "torch"]

INPUT: Final = "images"
OUTPUT: Final = "logits"
BATCH: Final = "batch"

# The newest that tf2onnx writes and the oldest that PyTorch's exporter writes without converting.
OPSET: Final = 18


def image_shape(configuration: Configuration, layout: Layout) -> Shape:
    """One image's shape at the graph's input: (3, H, W), or (H, W, 3) for ``nhwc``."""
    channels, height, width = configuration.input_shape
    return (channels, height, width) if layout == "nchw" else (height, width, channels)
