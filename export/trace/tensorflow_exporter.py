"""TensorFlow to ONNX, by tf2onnx.

The converter gets the traced graph directly: without constants there is nothing to freeze. Its
optimiser stays out: it drops casts to float16 and back, which round.
"""

from __future__ import annotations

import onnx_ir as ir

from export.constants import INPUT, OPSET, Stateless, symbolic_shape
from vgg16_spec.architecture import Configuration


def convert(network: Stateless, configuration: Configuration) -> ir.Model:
    """The graph of a function of the images and the weights; see ``from_keras.trace``."""
    import tensorflow as tf
    from tf2onnx.tfonnx import process_tf_graph

    free = [size if isinstance(size, int) else None for size in symbolic_shape(configuration)]
    shapes = {INPUT: free} | configuration.weight_shapes
    signature = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    function = tf.function(network, autograph=False).get_concrete_function(*signature)
    graph = process_tf_graph(
        function.graph,
        opset=OPSET,
        input_names=[tensor.name for tensor in function.inputs],
        output_names=[tensor.name for tensor in function.outputs],
    )
    model: ir.Model = ir.from_proto(graph.make_model(INPUT))
    for value in model.graph.inputs:
        value.name = str(value.name).removesuffix(":0")
    return model
