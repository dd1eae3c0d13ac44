"""Keras to ONNX on any of its backends, by tracing the structure alone.

The traced function takes the weights as arguments, in canonical layout, and the model is built in a
scope that allocates no variable, so the framework never sees a weight. An exporter then has no
constants to freeze or copy, which cost the usual route minutes and gigabytes. The linker turns the
arguments into initializers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import onnx_ir as ir

from export.constants import Stateless, symbolic_shape
from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.errors import BadInput

# Keras backend -> the package that converts its graphs to ONNX.
_CONVERTERS: Final = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}


def trace(configuration: Configuration) -> ir.Model:
    """The network's graph as Keras computes it, on the backend that Keras runs on.

    Args:
        configuration: the network, with or without its classifier.

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
    if find_spec(converter := _CONVERTERS[backend]) is None:
        remedy = f"pip install {converter}, or another KERAS_BACKEND"
        raise BadInput(f"Keras on {backend}", f"{converter} is not installed", remedy)
    exporter = import_module(f"export.trace.{backend}_exporter")
    with _float32(), keras.StatelessScope(initialize_variables=False):
        model: ir.Model = exporter.convert(_stateless(configuration), configuration)
    model.graph.inputs[0].shape = ir.Shape(symbolic_shape(configuration))
    return model


@contextmanager
def _float32() -> Iterator[None]:
    """Trace in float32, the checkpoint's type; the user's Keras configuration stays as it is."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def _stateless(configuration: Configuration) -> Stateless:
    """The model as a function of the images and of its weights in canonical layout."""
    from keras import ops

    from keras_impl import functional
    from keras_impl.weights import variables

    model = functional(
        configuration.name,
        include_top=configuration.include_top,
        classes=configuration.classes,
        classifier_activation=None,
        dropout=0,
    )
    order = {variable.path: name for name, variable in variables(model).items()}

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

    shape: Shape = tuple(values.shape)
    match len(shape):
        case 4:
            return ops.transpose(values, (2, 3, 1, 0))  # OIHW -> HWIO
        case 2 if name == "fc1.weight":
            maps = ops.reshape(values, (shape[0], *configuration.feature_shape))  # (out, C, H, W)
            rows = ops.transpose(maps, (2, 3, 1, 0))  # (H, W, C, out)
            return ops.reshape(rows, (math.prod(configuration.feature_shape), shape[0]))
        case 2:
            return ops.transpose(values, (1, 0))  # (out, in) -> (in, out)
        case _:
            return values
