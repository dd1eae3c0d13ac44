"""VGG16 as a graph that the arbiter of any network walks, built from the paper's table alone.

It shares no code with the walk of ``reference.py`` or with the exporters; tests hold the three
against each other. Nodes and values have the names of the exported files: ``block1_conv1`` is the
value after the ReLU, ``block1_conv1_preactivation`` the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from onnx_arbiter.graph import Array, Axis, Constant, Graph, Input, Node
from vgg16_spec.architecture import (
    IMAGE_CHANNELS,
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    Layer,
    MaxPooling,
    Shape,
)
from vgg16_spec.checkpoint import FLOAT32, Checkpoint
from vgg16_spec.dense import dense_weight_shapes

IMAGES: Final = "images"
LOGITS: Final = "logits"


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
        constants=_constants(checkpoint, configuration.weight_shapes),
        name=f"VGG {configuration.name}",
    )


def dense_graph_of(checkpoint: Checkpoint) -> Graph:
    """The same network applied densely: section 3.2 of the paper.

    fc1 is a 7×7 convolution, fc2 and predictions are 1×1 convolutions, with the same values. Its
    input is ``images``, (N, 3, H, W) of any N, H and W, no side smaller than the network's own
    size; its output ``logits``, (N, classes), the means over space of the scores, which are the
    value ``predictions``, (N, classes, H', W').
    """
    configuration = checkpoint.configuration
    return Graph(
        nodes=tuple(_dense_nodes(configuration)),
        inputs={IMAGES: Input(FLOAT32, (None, IMAGE_CHANNELS, None, None))},
        outputs=(LOGITS,),
        constants=_constants(checkpoint, dense_weight_shapes(configuration)),
        name=f"VGG {configuration.name}, dense",
    )


def _constants(checkpoint: Checkpoint, shapes: Mapping[str, Shape]) -> dict[str, Constant]:
    def read(name: str) -> Array:
        return checkpoint[name].reshape(shapes[name])

    return {name: Constant(FLOAT32, shape, partial(read, name)) for name, shape in shapes.items()}


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


def _dense_nodes(configuration: Configuration) -> Iterator[Node]:
    """The network's nodes with convolutions for its dense layers, and a mean behind them."""
    read = IMAGES
    for node in _nodes(configuration):
        if node.operator == "Gemm":
            inputs = (read, *node.inputs[1:])
            node = Node(node.name, "Conv", inputs, node.outputs)
        if node.operator != "Flatten":
            yield node
            (read,) = node.outputs
    yield Node("mean", "GlobalAveragePool", (read,), ("mean",))
    yield Node("flatten", "Flatten", ("mean",), (LOGITS,))


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
