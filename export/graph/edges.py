"""The ends of the canonical graph: preprocessing before the network, outputs after it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from export.constants import HEIGHT, INPUT, WIDTH
from export.graph import naming
from export.options import Options
from vgg16_spec.architecture import Configuration
from vgg16_spec.images.preprocessing import RECIPES, Recipe, resized_side

PROBABILITIES: Final = "probabilities"


class _Maker:
    """Makes named nodes and the constants that they read."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.tape = Tape()

    def node(
        self, name: str, op_type: str, *inputs: ir.Value | None, **attributes: Any
    ) -> ir.Value:
        output = ir.Value(name=name)
        return self.tape.op(op_type, inputs, attributes, name=name, output=output)

    def constant(self, name: str, values: Any, dtype: Any) -> ir.Value:
        tensor = ir.tensor(np.array(values, dtype), name=name)
        value = ir.Value(name=name, const_value=tensor)
        self.graph.register_initializer(value)
        return value


def add_preprocessing(
    model: ir.Model, configuration: Configuration, recipe: str, options: Options
) -> ir.Value | None:
    """Add the preprocessing that the options ask for, in place.

    - ``nhwc``: Transpose.
    - ``uint8``: Cast, the recipe's arithmetic in the recipe's order, Transpose.
    - ``resize``: Resize of the shorter side with antialiasing, and a crop of the centre, first.

    Returns:
        The network's images (batch, 3, H, W), whose size after a crop of the centre cannot be
        inferred; ``None`` where nothing was added.
    """
    if not options.channels_last:
        return None
    graph = model.graph
    network_input = graph.inputs[0]
    assert network_input.shape is not None
    batch, channels, height, width = network_input.shape
    raw = options.input == "uint8"
    spatial = (HEIGHT, WIDTH) if options.resize else (height, width)
    images = ir.Value(name=INPUT, shape=ir.Shape((batch, *spatial, channels)))
    images.type = ir.TensorType(ir.DataType.UINT8 if raw else ir.DataType.FLOAT)
    make = _Maker(graph)
    value = images
    if options.resize:
        value = _resize(make, value, RECIPES[recipe], configuration.input_size)
    if raw:
        value = _normalise(make, value, RECIPES[recipe])
    value = make.node("images_nchw", "Transpose", value, perm=(0, 3, 1, 2))
    graph.insert_before(graph[0], make.tape.nodes)
    ir.convenience.replace_all_uses_with(network_input, value)
    graph.inputs[0] = images
    return value


def add_postprocessing(model: ir.Model, options: Options) -> None:
    """Add the outputs that the options ask for, in place.

    - ``probabilities``: Softmax over the classes.
    - ``taps``: every layer's output, the logits among them, before the graph's own.
    """
    graph = model.graph
    (output,) = graph.outputs
    outputs = [*naming.taps(model)[:-1], output] if options.taps else [output]
    if options.output == "probabilities":
        make = _Maker(graph)
        probabilities = make.node(PROBABILITIES, "Softmax", output, axis=1)
        probabilities.type = ir.TensorType(ir.DataType.FLOAT)
        graph.extend(make.tape.nodes)
        outputs = [*outputs, probabilities] if options.taps else [probabilities]
    graph.outputs[:] = outputs


def _normalise(make: _Maker, pixels: ir.Value, recipe: Recipe) -> ir.Value:
    """``vgg16_spec``'s ``normalise`` on (N, H, W, 3), operation by operation: the same bits."""
    value = make.node("pixels", "Cast", pixels, to=int(ir.DataType.FLOAT))
    if recipe.channels == "BGR":
        reversed_channels = make.constant("bgr", (2, 1, 0), np.int64)
        value = make.node("pixels_bgr", "Gather", value, reversed_channels, axis=3)
    if recipe.scale != 1:
        scale = make.constant("pixel_scale", recipe.scale, np.float32)
        value = make.node("pixels_scaled", "Div", value, scale)
    mean = make.constant("pixel_mean", recipe.mean, np.float32)
    value = make.node("pixels_centred", "Sub", value, mean)
    if set(recipe.std) != {1.0}:
        std = make.constant("pixel_std", recipe.std, np.float32)
        value = make.node("pixels_normalised", "Div", value, std)
    return value


def _resize(make: _Maker, pixels: ir.Value, recipe: Recipe, size: int) -> ir.Value:
    """(N, H, W, 3) -> (N, size, size, 3): ``vgg16_spec``'s ``pixels`` as nodes.

    The sides are the same: the longer one rounded down, half a pixel of the crop's offset rounded
    to even. The values differ as Pillow's and ONNX's filters do.
    """
    shorter = resized_side(recipe, size)
    one = make.constant("one", [1], np.int64)
    three = make.constant("three", [3], np.int64)
    shape = make.node("pixels_shape", "Shape", pixels)
    sides = make.node("sides", "Slice", shape, one, three)
    shortest = make.node("shortest", "ReduceMin", sides, keepdims=1)
    target = make.constant("shorter", [shorter], np.int64)
    grown = make.node("sides_grown", "Mul", sides, target)
    resized_sides = make.node("sides_resized", "Div", grown, shortest)
    resized = make.node(
        "pixels_resized",
        "Resize",
        pixels,
        None,  # no region of interest
        None,  # no scales
        resized_sides,
        antialias=1,
        axes=(1, 2),
        mode="linear",
    )
    wanted = make.constant("crop", [size, size], np.int64)
    spare = make.node("spare", "Sub", resized_sides, wanted)
    spare = make.node("spare_float", "Cast", spare, to=int(ir.DataType.FLOAT))
    half = make.constant("half", 0.5, np.float32)
    first = make.node("crop_offset", "Round", make.node("spare_half", "Mul", spare, half))
    first = make.node("crop_first", "Cast", first, to=int(ir.DataType.INT64))
    last = make.node("crop_last", "Add", first, wanted)
    axes = make.constant("crop_axes", [1, 2], np.int64)
    return make.node("pixels_cropped", "Slice", resized, first, last, axes)
