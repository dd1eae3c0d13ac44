"""Keras to ONNX on any of its backends, by tracing the structure alone.

The traced function takes the weights as arguments, in canonical layout, and the model is built in a
scope that allocates no variable, so the framework never sees a weight. An exporter then has no
constants to freeze or copy, which cost the usual route minutes and gigabytes. The linker turns the
arguments into initializers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, Final

import onnx_ir as ir

from export.constants import BATCH, INPUT, OPSET, Stateless, symbolic_shape, traced_shape
from export.trace.from_torch import convert as convert_torch
from vgg16_spec.architecture import Configuration
from vgg16_spec.errors import BadInput


def trace(configuration: Configuration) -> ir.Model:
    """The network's graph as Keras computes it, on the backend that Keras runs on.

    Returns:
        A graph whose first input is ``images``, (batch, 3, H, W); the others are the weights by
        canonical name, in canonical layout. Its output is the logits (batch, classes), or without
        the classifier the features (batch, C, H, W).

    Raises:
        BadInput: for a backend that has no converter to ONNX, or whose converter is not installed.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in _CONVERTERS:
        raise BadInput("KERAS_BACKEND", f"is {backend!r}", f"one of {', '.join(_CONVERTERS)}")
    package, convert = _CONVERTERS[backend]
    if find_spec(package) is None:
        remedy = f"pip install {package}, or another KERAS_BACKEND"
        raise BadInput(f"Keras on {backend}", f"{package} is not installed", remedy)
    with ExitStack() as restored, keras.StatelessScope(initialize_variables=False):
        # Trace in float32, the checkpoint's type; the user's Keras configuration stays as it is.
        restored.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        restored.callback(keras.config.set_floatx, keras.config.floatx())
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        model = convert(_stateless(configuration), configuration)
    model.graph.inputs[0].shape = ir.Shape(symbolic_shape(configuration))
    return model


def _stateless(configuration: Configuration) -> Stateless:
    """The model as a function of the images and of its weights in canonical layout."""
    from keras import ops

    from keras_impl import functional
    from keras_impl.weights import parameters

    model = functional(
        configuration.name,
        include_top=configuration.include_top,
        classes=configuration.classes,
        classifier_activation=None,
        dropout=0,
    )
    order = {variable.path: name for name, variable in parameters(model).items()}

    def network(images: Any, *weights: Any) -> Any:
        given = dict(zip(configuration.weight_shapes, weights, strict=True))
        values = []
        for variable in model.trainable_variables:
            name = order[variable.path]
            if name not in given:
                raise ValueError(f"the traced model has a weight {name} that no checkpoint has")
            values.append(_to_keras(name, given[name], configuration))
        images = ops.transpose(images, (0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)
        outputs, _ = model.stateless_call(
            values, model.non_trainable_variables, images, training=False
        )
        if not configuration.include_top:
            outputs = ops.transpose(outputs, (0, 3, 1, 2))  # (N, H, W, C) -> (N, C, H, W)
        return outputs

    return network


def _to_keras(name: str, values: Any, configuration: Configuration) -> Any:
    """``vgg16_spec.layouts.canonical_to_keras`` as operations of the backend."""
    from keras import ops

    outputs, *inputs = values.shape
    if name == "fc1.weight":
        maps = ops.reshape(values, (outputs, *configuration.feature_shape))  # (out, C, H, W)
        rows = ops.transpose(maps, (2, 3, 1, 0))  # (H, W, C, out)
        return ops.reshape(rows, (*inputs, outputs))
    match len(inputs):
        case 3:
            return ops.transpose(values, (2, 3, 1, 0))  # OIHW -> HWIO
        case 1:
            return ops.transpose(values, (1, 0))  # (out, in) -> (in, out)
        case _:
            return values


def _convert_tensorflow(network: Stateless, configuration: Configuration) -> ir.Model:
    """By tf2onnx from the traced graph: without constants there is nothing to freeze.

    Its optimiser stays out: it drops casts to float16 and back, which round.
    """
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


def _convert_jax(network: Stateless, configuration: Configuration) -> ir.Model:
    from jax2onnx import to_onnx

    weights = configuration.weight_shapes
    # Height and width as numbers: JAX cannot decide whether a free one is at least 32.
    images = (BATCH, *traced_shape(configuration)[1:])
    model: ir.Model = to_onnx(
        network,
        [images, *weights.values()],
        opset=OPSET,
        return_mode="ir",
        input_names=[INPUT, *weights],
    )
    return model


# Keras backend -> the package that converts its graphs to ONNX, and how.
_CONVERTERS: Final[dict[str, tuple[str, Callable[[Stateless, Configuration], ir.Model]]]] = {
    "tensorflow": ("tf2onnx", _convert_tensorflow),
    "jax": ("jax2onnx", _convert_jax),
    "torch": ("onnxscript", convert_torch),
}
