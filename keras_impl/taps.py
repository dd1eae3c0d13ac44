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
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Args:
        model: of either form; one that ends in a softmax gives its logits here all the same.
        images: (N, 3, H, W), preprocessed; cast to the model's own float type.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes). The model is run as
    ``predict_on_batch`` runs it: compiled by the backend, in inference mode.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    configuration_of(model).check_input(images.shape[1:])
    outputs = {
        layer.name: _before_softmax(layer, layer.input, layer.output) for layer in _tapped(model)
    }
    return _run(keras.Model(model.inputs[0], outputs), _taken(model, images))


def run_layers_alone(
    model: keras.Model, images: NDArray[np.floating[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """What every layer makes of a given input, by the layer's name, in order.

    Args:
        model: as for `run_with_taps`.
        images: what the first layer reads, (N, 3, H, W).
        given: the name of every tap but the last -> what the layer after it reads instead of it, in
            the tap's shape; cast to the model's own float type.

    The outputs have the taps' names and shapes.
    """
    configuration_of(model).check_input(images.shape[1:])
    tapped = [layer.name for layer in _tapped(model)]
    values = keras.Input(images.shape[2:] + images.shape[1:2], dtype=model.compute_dtype)
    inputs, read, outputs = [values], [_taken(model, images)], {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        result = layer(values)
        if layer.name not in tapped:
            values = result
            continue
        outputs[layer.name] = _before_softmax(layer, values, result)
        if layer.name in given:
            values = keras.Input(result.shape[1:], dtype=model.compute_dtype)
            inputs.append(values)
            read.append(_taken(model, given[layer.name]))
    return _run(keras.Model(inputs, outputs), read)


def _tapped(model: keras.Model) -> list[keras.Layer]:
    skipped = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Dropout)
    return [layer for layer in model.layers if not isinstance(layer, skipped)]


def _taken(model: keras.Model, values: NDArray[Any]) -> Any:
    """Values as the model's layers read them: channels last, in the model's own float type."""
    if values.ndim == 4:
        values = layouts.contiguous(layouts.nchw_to_nhwc(values))
    # Keras's conversion: NumPy alone has no bfloat16.
    return keras.ops.convert_to_tensor(values, dtype=model.compute_dtype)


def _run(model: keras.Model, inputs: Any) -> dict[str, NDArray[Any]]:
    results = model.predict_on_batch(inputs)
    taps = {name: np.asarray(values) for name, values in results.items()}
    # What NumPy does not know (bfloat16) is exact in float32.
    taps = {n: v if v.dtype.kind == "f" else v.astype(np.float32) for n, v in taps.items()}
    return {n: layouts.nhwc_to_nchw(v) if v.ndim == 4 else v for n, v in taps.items()}


def _before_softmax(layer: keras.Layer, inputs: Any, outputs: Any) -> Any:
    if layer.name != "predictions" or layer.activation is keras.activations.linear:
        return outputs
    return keras.ops.add(keras.ops.matmul(inputs, layer.kernel), layer.bias)
