"""Keras to ONNX on the TensorFlow backend, by tracing the structure alone.

The traced function takes the weights as arguments, in canonical layout, and the model is built in a
scope that allocates no variable: TensorFlow never sees a weight. tf2onnx then has no constant to
freeze or copy, which is what costs the usual route minutes and gigabytes, and it cancels most of
the moves between layouts. What the arguments were traced as, the linker turns into initializers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from export.interface import BATCH, INPUT, OPSET, OUTPUT, image_shape
from vgg16.architecture import Configuration, Shape
from vgg16.errors import BadInput
from vgg16.preprocessing import Layout

if TYPE_CHECKING:
    import tensorflow as tf


def trace(configuration: Configuration, *, layout: Layout = "nchw") -> ir.Model:
    """The network's graph as Keras computes it; its weights are inputs, by canonical name.

    Parameters
    ----------
    configuration: the network, with its classifier.
    layout: of the input ``images``: (batch, 3, H, W) or (batch, H, W, 3), batch dynamic.

    The output ``logits`` is (batch, classes).

    Raises ``BadInput`` when Keras runs on another backend than TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BadInput(
            "KERAS_BACKEND", f"is {keras.backend.backend()}", "tensorflow to export from Keras"
        )
    import tensorflow as tf
    from tf2onnx.optimizer import optimize_graph
    from tf2onnx.tfonnx import process_tf_graph

    weights = configuration.weight_shapes
    signature = [
        tf.TensorSpec((None, *image_shape(configuration, layout)), tf.float32, name=INPUT)
    ] + [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in weights.items()]
    with _float32(), keras.StatelessScope(initialize_variables=False):
        stateless = tf.function(_stateless(configuration, layout), autograph=False)
        function = stateless.get_concrete_function(*signature)
    graph = process_tf_graph(
        function.graph,
        opset=OPSET,
        input_names=[tensor.name for tensor in function.inputs],
        output_names=[tensor.name for tensor in function.outputs],
    )
    model: ir.Model = ir.from_proto(optimize_graph(graph).make_model(INPUT))
    for value in model.graph.inputs:
        value.name = str(value.name).removesuffix(":0")
    (output,) = model.graph.outputs
    output.name = OUTPUT
    for value in (model.graph.inputs[0], output):
        value.shape = ir.Shape([BATCH, *list(value.shape or ())[1:]])
    return model


@contextmanager
def _float32() -> Iterator[None]:
    """Trace in the checkpoint's type, whatever the user's Keras configuration says."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def _stateless(configuration: Configuration, layout: Layout) -> Any:
    """The model as a function of the images and of its weights in canonical layout."""
    import tensorflow as tf

    from keras_impl import functional
    from keras_impl.weights import variables

    model = functional(
        configuration.name,
        classes=configuration.classes,
        classifier_activation=None,
        dropout=0,
    )
    by_name = variables(model)
    order = {variable.path: name for name, variable in by_name.items()}

    def logits(images: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        given = dict(zip(configuration.weight_shapes, weights, strict=True))
        values = [
            _to_keras(order[variable.path], given[order[variable.path]], configuration)
            for variable in model.trainable_variables
        ]
        if layout == "nchw":
            images = tf.transpose(images, (0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)
        outputs, _ = model.stateless_call(
            values, model.non_trainable_variables, images, training=False
        )
        return outputs

    return logits


def _to_keras(name: str, values: tf.Tensor, configuration: Configuration) -> tf.Tensor:
    """``vgg16.layouts.canonical_to_keras`` as graph operations."""
    import tensorflow as tf

    shape: Shape = tuple(values.shape)
    match len(shape):
        case 4:
            return tf.transpose(values, (2, 3, 1, 0))  # OIHW -> HWIO
        case 2 if name == "fc1.weight":
            maps = tf.reshape(values, (shape[0], *configuration.feature_shape))  # (out, C, H, W)
            rows = tf.transpose(maps, (2, 3, 1, 0))  # (H, W, C, out)
            return tf.reshape(rows, (math.prod(configuration.feature_shape), shape[0]))
        case 2:
            return tf.transpose(values, (1, 0))  # (out, in) -> (in, out)
        case _:
            return values
