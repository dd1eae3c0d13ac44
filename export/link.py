"""A traced graph's weights become references into the checkpoint: file, offset, length.

ONNX's external data name a file, a first byte and a length. A canonical checkpoint keeps its
tensors as ONNX's operators read them, so no byte is copied or moved.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from vgg16.checkpoint import FLOAT32, Checkpoint


def link_weights(model: ir.Model, checkpoint: Checkpoint, location: str) -> None:
    """Point every weight of a traced graph at its bytes in a checkpoint file, in place.

    Parameters
    ----------
    model: its weights are inputs, or initializers without values, by canonical name.
    checkpoint: one that is in a file.
    location: that file's name, beside the ONNX file.

    Raises ``ValueError`` when the graph lacks a weight, has one of another shape, or has an input
    besides the images and the weights.
    """
    graph = model.graph
    inputs = {str(value.name): value for value in graph.inputs[1:]}
    if unknown := [name for name in inputs if name not in checkpoint]:
        raise ValueError(f"the traced graph has inputs that are no weights: {', '.join(unknown)}")
    for name, shape in checkpoint.configuration.weight_shapes.items():
        value = graph.initializers.get(name) or inputs.get(name)
        if value is None:
            raise ValueError(f"the traced graph has no weight {name}")
        if value.shape != shape:
            raise ValueError(f"the traced graph has {name} as {value.shape}, expected {shape}")
        length = checkpoint[name].size * FLOAT32.itemsize
        value.const_value = ir.ExternalTensor(
            location,
            checkpoint.offsets[name],
            length,
            ir.DataType.FLOAT,
            name=name,
            shape=ir.Shape(shape),
        )
        if name in inputs:
            graph.inputs.remove(value)
            graph.register_initializer(value)


def name_by_position(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Name what is between the graph's edges by kind and position, in place.

    The tracers number names by what else the process has traced before: the same export twice would
    give different bytes.
    """
    graph = model.graph
    kept = {*checkpoint, *(str(value.name) for value in (*graph.inputs, *graph.outputs))}
    for index, node in enumerate(graph):
        node.name = f"{node.op_type}_{index}"
        for position, value in enumerate(node.outputs):
            if value.name not in kept:
                value.name = f"{node.name}_{position}"
    used = [value for node in graph for value in node.inputs if value and value.is_initializer()]
    constants = dict.fromkeys(value for value in used if value.name not in kept)
    for index, value in enumerate(constants):
        value.name = f"constant_{index}"
    in_order = [graph.initializers[name] for name in checkpoint] + list(constants)
    graph.initializers.clear()
    for value in in_order:
        graph.register_initializer(value)


def clean(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Replace what the exporters say about themselves and the machine by what a reader needs."""
    ClearMetadataAndDocStringPass()(model)
    model.graph.name = f"VGG configuration {checkpoint.configuration.name}"
    model.producer_name = "vgg16-parity"
    model.producer_version = None
    model.metadata_props.clear()
    model.metadata_props.update(
        configuration=checkpoint.configuration.name,
        recipe=checkpoint.metadata.recipe,
        licence=checkpoint.metadata.licence,
    )
