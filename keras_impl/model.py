"""Every configuration of Table 1 as a Keras model, in both of Keras's forms, on any backend."""

from __future__ import annotations

from collections.abc import Sequence
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
    """One configuration of Simonyan & Zisserman (2014) as a ``keras.Sequential``.

    Args:
        configuration: ``A``, ``B``, ``C``, ``D`` (VGG16), ``E`` or ``tiny``.
        include_top: whether the classifier belongs to the network.
        classes: the number of outputs of the classifier.
        classifier_activation: ``softmax`` for probabilities, ``None`` for logits.
        dropout: the fraction of fc1's and fc2's activations that training drops; at 0 the layers
            ``fc1_dropout`` and ``fc2_dropout`` are left out.
        input_shape: (H, W, 3) of one image. With the classifier only the configuration's own;
            without, ``None`` stands for any height or width of at least 32, which is the default.
        kernel_initializer: of every weight, Keras's default unless given; ``zeros`` where the
            weights are loaded next, since random numbers for a network of this size take seconds.
        weights: a published set's name (``vgg16 weights list``), a weights file of any format, or a
            checkpoint; its classifier is left out where ``include_top`` is false. Its images are
            prepared by its own recipe: ``vgg16_weights.open_weights(weights).metadata.recipe``.

    The model takes (N, H, W, 3) and returns (N, classes), or without the classifier the last maps
    (N, H // 32, W // 32, C).

    Raises ``ValueError`` for an unknown configuration, and for an input shape that the network does
    not take, when it is built and when it is called; ``BadInput``, a ``ValueError`` too, for
    weights that are not those of this network.
    """
    network, shape = _resolve(configuration, include_top, classes, input_shape)
    checkpoint, initializer = _opened(weights, network, kernel_initializer)
    layers = _layers(network, classifier_activation, dropout, initializer)
    model = keras.Sequential([keras.Input(shape), *layers], name=_model_name(network))
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
    """The same network as `sequential`, by Keras's functional interface."""
    network, shape = _resolve(configuration, include_top, classes, input_shape)
    checkpoint, initializer = _opened(weights, network, kernel_initializer)
    inputs = outputs = keras.Input(shape)
    for layer in _layers(network, classifier_activation, dropout, initializer):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs, name=_model_name(network))
    return _finished(model, network, checkpoint)


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


def _opened(
    weights: Weights | None, network: Configuration, initializer: str
) -> tuple[Checkpoint | None, str]:
    """The weights' checkpoint, if there are any, and what to fill the layers with before."""
    if weights is None:
        return None, initializer
    return checkpoint_for(weights, network), "zeros"


def _finished(model: Any, network: Configuration, checkpoint: Checkpoint | None) -> Any:
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return _check_calls(model, network)


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
