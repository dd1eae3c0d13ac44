"""Run a model and keep the output of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_impl.weights import configuration_of
from vgg16_spec import layouts


def run_with_taps(model: keras.Model, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """Run a model and return the output of every layer.

    Args:
        model: of either form. It runs as ``predict_on_batch`` runs it: compiled by the backend, in
            inference mode.
        images: (N, 3, H, W), preprocessed; cast to the model's float type.

    Returns:
        Tap name -> output, in order: maps (N, C, H, W), fc1 and fc2 (N, units), and
        ``predictions``, the logits (N, classes), also of a model that ends in a softmax.

    Raises:
        ValueError: the network does not take images of that size.
    """
    configuration_of(model).check_input(images.shape[1:])
    outputs = {
        layer.name: before_softmax(layer, layer.input, layer.output) for layer in _tapped(model)
    }
    return _run(keras.Model(model.inputs[0], outputs), to_keras(model, images))


def run_layers_locally(
    model: keras.Model, images: NDArray[np.floating[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run every layer on an input of its own.

    Args:
        model: as for `run_with_taps`.
        images: the input of the first layer, (N, 3, H, W).
        given: tap name -> what the next layer reads instead of that tap; cast to the model's float
            type. Maps may have any number and size, if every layer has an input of its own.

    Returns:
        The layers' outputs, with the names of the taps.

    Raises:
        ValueError: a layer reads the one before, and the network does not take images of that size.
    """
    *followed, last = (layer.name for layer in _tapped(model))
    if not all(tap in given for tap in followed):
        configuration_of(model).check_input(images.shape[1:])
    read, outputs = [to_keras(model, images)], {}
    values = _input_of(model, read[0])
    inputs = [values]
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        result = layer(values)
        if layer.name not in (*followed, last):
            values = result
            continue
        outputs[layer.name] = before_softmax(layer, values, result)
        if layer.name in given:
            read.append(to_keras(model, given[layer.name]))
            values = _input_of(model, read[-1])
            inputs.append(values)
    return _run(keras.Model(inputs, outputs), read)


def _tapped(model: keras.Model) -> list[keras.Layer]:
    skipped = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Dropout)
    return [layer for layer in model.layers if not isinstance(layer, skipped)]


def _input_of(model: keras.Model, tensor: Any) -> Any:
    return keras.Input(tensor.shape[1:], dtype=model.compute_dtype)


def to_keras(model: keras.Model, values: NDArray[Any]) -> Any:
    """Values as the model's layers read them: channels last, in the model's float type."""
    if values.ndim == 4:
        values = layouts.contiguous(layouts.nchw_to_nhwc(values))  # (N, C, H, W) -> (N, H, W, C)
    if keras.backend.backend() == "openvino":
        # A tensor would be a constant of its graph.
        return np.asarray(values, model.compute_dtype)
    # Converted by Keras, because NumPy has no bfloat16.
    return keras.ops.convert_to_tensor(values, dtype=model.compute_dtype)


def _run(model: keras.Model, inputs: Any) -> dict[str, NDArray[Any]]:
    taps = {}
    for name, output in model.predict_on_batch(inputs).items():
        values = np.asarray(output)
        if values.dtype.kind != "f":
            values = values.astype(np.float32)  # exact for bfloat16, which NumPy does not have
        # (N, H, W, C) -> (N, C, H, W)
        taps[name] = layouts.nhwc_to_nchw(values) if values.ndim == 4 else values
    return taps


def before_softmax(layer: keras.Layer, inputs: Any, outputs: Any) -> Any:
    """A layer's output; that of ``predictions`` without the softmax that it may end in."""
    if layer.name != "predictions" or layer.activation is keras.activations.linear:
        return outputs
    return keras.ops.add(keras.ops.matmul(inputs, layer.kernel), layer.bias)
