"""The network's layers as Keras has them, read from the model itself."""

from __future__ import annotations

import keras

from keras_impl.model import functional
from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary


def layer_summaries(configuration: Configuration) -> list[LayerSummary]:
    """Every layer of the functional model that computes or moves values, in order.

    Outputs are (N, H, W, C), kernels (kH, kW, in, out) and (in, out). Input and dropout are left
    out; a layer's activation is part of its kind. The model is built without values.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = functional(
            configuration.name,
            include_top=configuration.include_top,
            classes=configuration.classes,
        )
    return [
        LayerSummary(
            layer.name,
            layer.name,
            _kind(layer),
            tuple(layer.output.shape),
            {variable.path: tuple(variable.shape) for variable in layer.weights},
        )
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout)
    ]


def _kind(layer: keras.Layer) -> str:
    activation = getattr(layer, "activation", None)
    name = type(layer).__name__
    return name if activation is None else f"{name} ({activation.__name__})"
