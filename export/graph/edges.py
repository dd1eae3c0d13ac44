"""The ends of the canonical graph: preprocessing before the network, outputs after it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import DTypeLike
from onnx_ir.tape import Tape

from export.constants import HEIGHT, INPUT, WIDTH
from export.graph import canonical, naming
from export.options import Options
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import Recipe, resized_side

PROBABILITIES: Final = "probabilities"


class NamedTape(Tape):
    """Makes nodes that have the names of their values, and the constants that they read."""

    def node(
        self, name: str, op_type: str, *inputs: ir.Value | None, **attributes: Any
    ) -> ir.Value:
        """A node's value."""
        return self.op(op_type, inputs, attributes, name=name, output=ir.Value(name=name))

    def constant(self, name: str, values: Any, dtype: DTypeLike = np.int64) -> ir.Value:
        """A constant's value."""
        return self.initializer(ir.tensor(np.array(values, dtype), name=name))

    def prepend(self, graph: ir.Graph, images: ir.Value, value: ir.Value) -> None:
        """Have a graph begin with these nodes: with another input, and ``value`` in its place."""
        for constant in self.initializers:
            graph.register_initializer(constant)
        graph.insert_before(graph[0], self.nodes)
        (before,) = graph.inputs
        ir.convenience.replace_all_uses_with(before, value)
        graph.inputs[:] = [images]


def add_ends(model: ir.Model, checkpoint: Checkpoint, options: Options) -> None:
    """Add the preprocessing and the outputs that the options ask for, in place.

    Before the network's images:

    - ``nhwc``: Transpose.
    - ``uint8``: Cast, the recipe's arithmetic in the recipe's order, Transpose.
    - ``resize``: Resize of the shorter side with antialiasing, and a crop of the centre, first.

    After the logits:

    - ``probabilities``: Softmax over the classes.
    - ``taps``: every layer's output, the logits among them, before the graph's own.
    """
    graph = model.graph
    (output,), shape = graph.outputs, graph.inputs[0].shape
    outputs = [*naming.taps(model)[:-1], output] if options.taps else [output]
    known = None
    if options.channels_last and shape is not None:
        # The size after a crop of the centre cannot be inferred.
        known = _add_preprocessing(graph, shape, checkpoint, options), shape
    if options.output == "probabilities":
        probabilities = NamedTape(graph).node(PROBABILITIES, "Softmax", output, axis=1)
        probabilities.type = ir.TensorType(ir.DataType.FLOAT)
        outputs = [*outputs, probabilities] if options.taps else [probabilities]
    graph.outputs[:] = outputs
    canonical.infer_shapes(model, known)


def _add_preprocessing(
    graph: ir.Graph, shape: ir.Shape, checkpoint: Checkpoint, options: Options
) -> ir.Value:
    """What the network reads instead of its images, of the same shape (batch, 3, H, W)."""
    recipe, size = checkpoint.recipe, checkpoint.configuration.input_size
    batch, channels, *sides = shape
    spatial = (HEIGHT, WIDTH) if options.resize else sides
    raw = options.input == "uint8"
    images = value = ir.val(
        INPUT,
        ir.DataType.UINT8 if raw else ir.DataType.FLOAT,
        ir.Shape((batch, *spatial, channels)),
    )
    make = NamedTape()
    if options.resize:
        value = _resize(make, value, recipe, size)
    if raw:
        value = _normalise(make, value, recipe)
    value = make.node("images_nchw", "Transpose", value, perm=(0, 3, 1, 2))
    make.prepend(graph, images, value)
    return value


def _normalise(make: NamedTape, pixels: ir.Value, recipe: Recipe) -> ir.Value:
    """``vgg16_spec``'s ``normalise`` on (N, H, W, 3), operation by operation: the same bits."""
    value = make.node("pixels", "Cast", pixels, to=int(ir.DataType.FLOAT))
    if recipe.channels == "BGR":
        value = make.node("pixels_bgr", "Gather", value, make.constant("bgr", (2, 1, 0)), axis=3)
    if recipe.scale != 1:
        scale = make.constant("pixel_scale", recipe.scale, np.float32)
        value = make.node("pixels_scaled", "Div", value, scale)
    if set(recipe.mean) != {0.0}:
        mean = make.constant("pixel_mean", recipe.mean, np.float32)
        value = make.node("pixels_centred", "Sub", value, mean)
    if set(recipe.std) != {1.0}:
        std = make.constant("pixel_std", recipe.std, np.float32)
        value = make.node("pixels_normalised", "Div", value, std)
    return value


def _resize(make: NamedTape, pixels: ir.Value, recipe: Recipe, size: int) -> ir.Value:
    """(N, H, W, 3) -> (N, size, size, 3): ``vgg16_spec``'s ``pixels`` as nodes.

    The sides are the same: the longer one rounded down, half a pixel of the crop's offset rounded
    to even. The values differ as Pillow's and ONNX's filters do.
    """
    node, constant = make.node, make.constant
    shape = node("pixels_shape", "Shape", pixels)
    sides = node("sides", "Slice", shape, constant("one", [1]), constant("three", [3]))
    shortest = node("shortest", "ReduceMin", sides, keepdims=1)
    grown = node("sides_grown", "Mul", sides, constant("shorter", [resized_side(recipe, size)]))
    target = node("sides_resized", "Div", grown, shortest)
    # Neither a region of interest nor scales.
    resized = node(
        "pixels_resized",
        "Resize",
        *(pixels, None, None, target),
        antialias=1,
        axes=(1, 2),
        mode="linear",
    )
    crop = constant("crop", [size, size])
    spare = node("spare", "Sub", target, crop)
    spare = node("spare_float", "Cast", spare, to=int(ir.DataType.FLOAT))
    half = node("spare_half", "Mul", spare, constant("half", 0.5, np.float32))
    offset = node("crop_offset", "Round", half)
    first = node("crop_first", "Cast", offset, to=int(ir.DataType.INT64))
    last = node("crop_last", "Add", first, crop)
    return node("pixels_cropped", "Slice", resized, first, last, constant("crop_axes", [1, 2]))
