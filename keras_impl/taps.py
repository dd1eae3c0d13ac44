"""Run a model and keep the output of every layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_impl.weights import configuration_of
from vgg16 import layouts


def run_with_taps(model: keras.Model, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Parameters
    ----------
    model: of either form; one that ends in a softmax gives its logits here all the same.
    images: (N, 3, H, W), preprocessed; cast to the model's own float type.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes). The model is run as
    ``predict_on_batch`` runs it: compiled by the backend, in inference mode.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    configuration_of(model).check_input(images.shape[1:])
    skipped = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Dropout)
    outputs = {
        layer.name: _before_softmax(layer) if layer.name == "predictions" else layer.output
        for layer in model.layers
        if not isinstance(layer, skipped)
    }
    tapped = keras.Model(model.inputs[0], outputs)
    batch = layouts.contiguous(layouts.nchw_to_nhwc(images))
    results = tapped.predict_on_batch(batch.astype(model.dtype_policy.compute_dtype))
    return {
        name: layouts.nhwc_to_nchw(values) if values.ndim == 4 else values
        for name, values in ((name, np.asarray(results[name])) for name in outputs)
    }


def _before_softmax(layer: keras.layers.Dense) -> Any:
    if layer.activation is keras.activations.linear:
        return layer.output
    return keras.ops.add(keras.ops.matmul(layer.input, layer.kernel), layer.bias)
