"""Every configuration of Table 1 as a Keras model, in both of Keras's forms, on any backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from vgg16 import architecture
from vgg16.architecture import Configuration

# Images are (N, H, W, 3) whatever the user's Keras configuration says.
_CHANNELS_LAST = {"data_format": "channels_last"}


def sequential(
    configuration: str = "D",
    *,
    include_top: bool = True,
    classes: int = architecture.IMAGENET_CLASSES,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.5,
    input_shape: Sequence[int | None] | None = None,
    kernel_initializer: str = "glorot_uniform",
) -> keras.Sequential:
    """One configuration of Simonyan & Zisserman (2014) as a ``keras.Sequential``.

    Parameters
    ----------
    configuration: ``A``, ``B``, ``C``, ``D`` (VGG16), ``E`` or ``tiny``.
    include_top: whether the classifier belongs to the network.
    classes: the number of outputs of the classifier.
    classifier_activation: ``softmax`` for probabilities, ``None`` for logits.
    dropout: the fraction of fc1's and fc2's activations that training drops; at 0 the layers
        ``fc1_dropout`` and ``fc2_dropout`` are left out.
    input_shape: (H, W, 3) of one image. With the classifier only the configuration's own; without,
        ``None`` stands for any height or width of at least 32, which is the default.
    kernel_initializer: of every weight, Keras's default unless given; ``zeros`` where the weights
        are loaded next, since random numbers for a network of this size take seconds.

    The model takes (N, H, W, 3) and returns (N, classes), or without the classifier the last maps
    (N, H // 32, W // 32, C).

    Raises ``ValueError`` for an unknown configuration, and for an input shape that the network does
    not take, when it is built and when it is called.
    """
    network, shape = _resolve(configuration, include_top, classes, input_shape)
    layers = _layers(network, classifier_activation, dropout, kernel_initializer)
    model = keras.Sequential([keras.Input(shape), *layers], name=_model_name(network))
    return _check_calls(model, network)


def functional(
    configuration: str = "D",
    *,
    include_top: bool = True,
    classes: int = architecture.IMAGENET_CLASSES,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.5,
    input_shape: Sequence[int | None] | None = None,
    kernel_initializer: str = "glorot_uniform",
) -> keras.Model:
    """The same network as :func:`sequential`, by Keras's functional interface."""
    network, shape = _resolve(configuration, include_top, classes, input_shape)
    inputs = outputs = keras.Input(shape)
    for layer in _layers(network, classifier_activation, dropout, kernel_initializer):
        outputs = layer(outputs)
    return _check_calls(keras.Model(inputs, outputs, name=_model_name(network)), network)


def _layers(
    network: Configuration, activation: str | None, dropout: float, initializer: str
) -> list[keras.Layer]:
    layers: list[keras.Layer] = []
    for layer in network.layers:
        match layer:
            case architecture.Convolution():
                layers.append(
                    keras.layers.Conv2D(
                        layer.out_channels,
                        layer.kernel_size,
                        padding="same",
                        activation="relu",
                        kernel_initializer=initializer,
                        name=layer.name,
                        **_CHANNELS_LAST,
                    )
                )
            case architecture.MaxPooling():
                layers.append(
                    keras.layers.MaxPooling2D(
                        architecture.POOLING_SIZE, name=layer.name, **_CHANNELS_LAST
                    )
                )
            case architecture.Flatten():
                layers.append(keras.layers.Flatten(name=layer.name, **_CHANNELS_LAST))
            case architecture.Dense():
                layers.append(
                    keras.layers.Dense(
                        layer.out_features,
                        activation="relu" if layer.relu else activation,
                        kernel_initializer=initializer,
                        name=layer.name,
                    )
                )
                if layer.relu and dropout:
                    layers.append(keras.layers.Dropout(dropout, name=f"{layer.name}_dropout"))
    return layers


def _resolve(
    configuration: str,
    include_top: bool,
    classes: int,
    input_shape: Sequence[int | None] | None,
) -> tuple[Configuration, tuple[int | None, ...]]:
    network = architecture.configuration(configuration, include_top=include_top, classes=classes)
    size = network.input_size if include_top else None
    shape = (size, size, architecture.IMAGE_CHANNELS) if input_shape is None else input_shape
    network.check_input(shape, channels_last=True)
    return network, tuple(shape)


def _model_name(network: Configuration) -> str:
    return f"vgg_{network.name.lower()}"


def _check_calls(model: Any, network: Configuration) -> Any:
    """Have the model refuse wrong input sizes itself.

    What Keras does on its own depends on the backend: on JAX, features of a 3-pixel image are an
    empty array. An override on the instance, not a subclass: a saved model stays an ordinary one,
    which loads without this project.
    """
    call = model.call

    def checked_call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        network.check_input(tuple(inputs.shape[1:]), channels_last=True)
        return call(inputs, *args, **kwargs)

    model.call = checked_call
    return model
