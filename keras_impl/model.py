"""Every configuration of Table 1 as a Keras model, in both of Keras's forms, on any backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_impl.weights import load_checkpoint
from vgg16_spec import architecture
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.open import Weights, checkpoint_for

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
    weights: Weights | None = None,
) -> keras.Sequential:
    """Build one configuration of Simonyan & Zisserman (2014) as a ``keras.Sequential``.

    Args:
        configuration: ``A``, ``B``, ``C``, ``D`` (VGG16), ``E`` or ``tiny``.
        include_top: whether to include the classifier.
        classes: the number of outputs of the classifier.
        classifier_activation: ``softmax`` for probabilities, ``None`` for logits.
        dropout: the fraction of fc1's and fc2's activations that training drops; at 0 there are no
            layers ``fc1_dropout`` and ``fc2_dropout``.
        input_shape: (H, W, 3) of one image. With the classifier, only the configuration's own;
            without, ``None`` stands for any height or width of at least 32, and is the default.
        kernel_initializer: of every weight. Pass ``zeros`` if you load weights next: random numbers
            for a network of this size take seconds.
        weights: a published set's name (``vgg16 weights list``), a weights file of any format, or a
            checkpoint. Its classifier is left out if ``include_top`` is false. Prepare images by
            its own recipe: ``vgg16_weights.open_weights(weights).recipe``.

    Returns:
        A model from (N, H, W, 3) to (N, classes), or without the classifier to the last maps,
        (N, H // 32, W // 32, C).

    Raises:
        ValueError: the configuration is unknown, or the network does not take the input shape. The
            model raises the same when it is called with such images.
        BadInput: the weights are not those of this network; also a ``ValueError``.
    """
    network, checkpoint, shape = _resolve(configuration, include_top, classes, input_shape, weights)
    initializer = kernel_initializer if checkpoint is None else "zeros"
    layers = _layers(network, classifier_activation, dropout, initializer)
    model = keras.Sequential([keras.Input(shape), *layers], name=f"vgg_{network.name.lower()}")
    return _finished(model, network, checkpoint)


def functional(
    configuration: str = "D",
    *,
    include_top: bool = True,
    classes: int = architecture.IMAGENET_CLASSES,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.5,
    input_shape: Sequence[int | None] | None = None,
    kernel_initializer: str = "glorot_uniform",
    weights: Weights | None = None,
) -> keras.Model:
    """Build the network of `sequential`, from the same arguments, by the functional API."""
    network, checkpoint, shape = _resolve(configuration, include_top, classes, input_shape, weights)
    initializer = kernel_initializer if checkpoint is None else "zeros"
    inputs = outputs = keras.Input(shape)
    for layer in _layers(network, classifier_activation, dropout, initializer):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs, name=f"vgg_{network.name.lower()}")
    return _finished(model, network, checkpoint)


def _layers(
    network: Configuration, activation: str | None, dropout: float, initializer: str
) -> Iterator[keras.Layer]:
    for layer in network.layers:
        match layer:
            case architecture.Convolution():
                yield keras.layers.Conv2D(
                    layer.out_channels,
                    layer.kernel_size,
                    padding="same",
                    activation="relu",
                    kernel_initializer=initializer,
                    name=layer.name,
                    **_CHANNELS_LAST,
                )
            case architecture.MaxPooling():
                size = architecture.POOLING_SIZE
                yield keras.layers.MaxPooling2D(size, name=layer.name, **_CHANNELS_LAST)
            case architecture.Flatten():
                yield keras.layers.Flatten(name=layer.name, **_CHANNELS_LAST)
            case architecture.Dense():
                yield keras.layers.Dense(
                    layer.out_features,
                    activation="relu" if layer.relu else activation,
                    kernel_initializer=initializer,
                    name=layer.name,
                )
                if layer.relu and dropout:
                    yield keras.layers.Dropout(dropout, name=f"{layer.name}_dropout")


def _resolve(
    configuration: str,
    include_top: bool,
    classes: int,
    input_shape: Sequence[int | None] | None,
    weights: Weights | None,
) -> tuple[Configuration, Checkpoint | None, tuple[int | None, ...]]:
    network = architecture.configuration(configuration, include_top=include_top, classes=classes)
    size = network.input_size if include_top else None
    shape = (size, size, architecture.IMAGE_CHANNELS) if input_shape is None else input_shape
    network.check_input(shape, channels_last=True)
    checkpoint = None if weights is None else checkpoint_for(weights, network)
    return network, checkpoint, tuple(shape)


def _finished(model: Any, network: Configuration, checkpoint: Checkpoint | None) -> Any:
    """The model with its weights, and with a check of its input's size at every call.

    Without the check, what happens depends on the backend: on JAX, the features of a 3-pixel image
    are an empty array. It overrides ``call`` on the instance: a subclass would make a saved model
    depend on this project.
    """
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    call = model.call

    def checked_call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        network.check_input(tuple(inputs.shape[1:]), channels_last=True)
        return call(inputs, *args, **kwargs)

    model.call = checked_call
    return model
