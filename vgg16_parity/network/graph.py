"""VGG16 as a graph that the arbiter of any network walks, built from the paper's table alone.

It shares no code with the walk of ``reference.py`` or with the exporters; tests hold the three
against each other. Nodes and values have the names of the exported files: ``block1_conv1`` is the
value after the ReLU, ``block1_conv1_preactivation`` the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from onnx_arbiter.graph import Axis, Constant, Graph, Input, Node
from vgg16_spec.architecture import (
    IMAGE_CHANNELS,
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
)
from vgg16_spec.checkpoint import FLOAT32, Checkpoint

IMAGES: Final = "images"


def graph_of(checkpoint: Checkpoint) -> Graph:
    """The network of a checkpoint, whose weights are read when they are needed.

    Its input is ``images``, (N, 3, H, W) of any N, and of any size without the classifier. Every
    tap of the configuration is a value of that name; the last is the output.
    """
    configuration = checkpoint.configuration
    side: Axis = configuration.input_size if configuration.include_top else None
    return Graph(
        nodes=tuple(_nodes(configuration)),
        inputs={IMAGES: Input(FLOAT32, (None, IMAGE_CHANNELS, side, side))},
        outputs=(configuration.taps[-1],),
        constants={
            name: Constant(FLOAT32, shape, partial(checkpoint.__getitem__, name))
            for name, shape in configuration.weight_shapes.items()
        },
        name=f"VGG {configuration.name}",
    )


def before_relu(layer: Layer) -> str:
    """The value that a layer computes before its ReLU, if it has one."""
    relu = isinstance(layer, Convolution | Dense) and layer.relu
    return f"{layer.name}_preactivation" if relu else layer.name


def _nodes(configuration: Configuration) -> Iterator[Node]:
    read = IMAGES
    for layer in configuration.layers:
        yield _node(layer, read)
        if before_relu(layer) != layer.name:
            yield Node(f"{layer.name}_relu", "Relu", (before_relu(layer),), (layer.name,))
        read = layer.name


def _node(layer: Layer, read: str) -> Node:
    weights = (f"{layer.name}.weight", f"{layer.name}.bias")
    outputs = (before_relu(layer),)
    match layer:
        case Convolution():
            pads = (layer.padding,) * 4
            return Node(layer.name, "Conv", (read, *weights), outputs, {"pads": pads})
        case MaxPooling():
            size = (POOLING_SIZE, POOLING_SIZE)
            windows = {"kernel_shape": size, "strides": size}
            return Node(layer.name, "MaxPool", (read,), outputs, windows)
        case Flatten():
            return Node(layer.name, "Flatten", (read,), outputs)
        case Dense():
            return Node(layer.name, "Gemm", (read, *weights), outputs, {"transB": 1})
