"""The gradients of a loss, and one step of training, on any backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from keras_impl.weights import configuration_of, parameters
from vgg16_spec import layouts

Arrays: TypeAlias = dict[str, NDArray[Any]]


def run_with_gradients(
    model: keras.Model, images: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[Arrays, Arrays]:
    """Run a model forward and backward through the mean cross-entropy of its logits.

    Args:
        model: of either form, with a classifier that ends in logits, in float32. It runs in
            inference mode, without dropout.
        images: (N, 3, H, W), preprocessed.
        labels: the class of each image, (N,).

    Returns:
        The taps of this very pass that are outputs of a ReLU, maps as (N, C, H, W); and the
        gradients of ``images``, (N, 3, H, W), and of the parameters, in canonical names and layout.

    Raises:
        ValueError: the network does not take images of that size, or does not end in logits.
    """
    configuration = configuration_of(model)
    configuration.check_input(images.shape[1:])
    if model.layers[-1].activation is not keras.activations.linear:
        raise ValueError(f"{model.name} ends in {model.layers[-1].activation}, expected logits")
    rectified = [layer.name for layer in configuration.weighted_layers if layer.relu]
    names = [*rectified, "predictions"]
    tapped = keras.Model(model.inputs[0], {name: model.get_layer(name).output for name in names})
    # (N, C, H, W) -> (N, H, W, C)
    read = keras.ops.convert_to_tensor(layouts.contiguous(layouts.nchw_to_nhwc(images)))
    # Each gives the outputs, and the gradients of the images and of the variables.
    backends = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    differentiate = backends[keras.backend.backend()]
    taps, found = differentiate(tapped, read, keras.ops.convert_to_tensor(labels))
    found.reverse()
    gradients = {"images": layouts.nhwc_to_nchw(keras.ops.convert_to_numpy(found.pop()))}
    for name in parameters(tapped):
        # Popped, so that no gradient is held twice.
        values = keras.ops.convert_to_numpy(found.pop())
        gradients[name] = layouts.keras_to_canonical(name, values, configuration.feature_shape)
    arrays = {name: keras.ops.convert_to_numpy(taps[name]) for name in rectified}
    # (N, H, W, C) -> (N, C, H, W)
    return {n: layouts.nhwc_to_nchw(v) if v.ndim == 4 else v for n, v in arrays.items()}, gradients


def sgd_step(
    model: keras.Model,
    gradients: Mapping[str, NDArray[Any]],
    velocity: Mapping[str, NDArray[Any]],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> tuple[Arrays, Arrays]:
    """Take one step of ``keras.optimizers.SGD``, which changes the model's parameters.

    With b the velocity and w a parameter, the step is
    b = momentum · b + gradient + weight_decay · w, then w = w - learning_rate · b, which is
    PyTorch's definition. Keras's velocity is -learning_rate · b, and its ``weight_decay`` shrinks w
    directly and leaves b alone. So the velocity is scaled on its way in and out, and the decay is
    added to the gradient here.

    Returns:
        The parameters and the velocity after the step. These, ``gradients`` and ``velocity`` hold
        every parameter in canonical names and layout.
    """
    variables = parameters(model)
    feature_shape = configuration_of(model).feature_shape
    optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
    optimizer.build(list(variables.values()))
    slots = dict(zip(variables, optimizer.momentums, strict=True))

    def to_keras(name: str, values: NDArray[Any]) -> Any:
        values = layouts.canonical_to_keras(name, values, feature_shape)
        return keras.ops.convert_to_tensor(layouts.contiguous(values))

    def to_canonical(name: str, variable: keras.Variable) -> NDArray[Any]:
        values = keras.ops.convert_to_numpy(variable)
        return layouts.keras_to_canonical(name, values, feature_shape)

    # One tensor at a time, and none kept: eagerly, fc1's step takes several times 411 MB.
    for name, variable in variables.items():
        slots[name].assign(-learning_rate * to_keras(name, velocity[name]))
        decayed = to_keras(name, gradients[name]) + weight_decay * variable
        optimizer.apply([decayed], [variable])
        del decayed
    moved = {name: to_canonical(name, slot) / -learning_rate for name, slot in slots.items()}
    return {name: to_canonical(name, variable) for name, variable in variables.items()}, moved


def _loss(outputs: Mapping[str, Any], labels: Any) -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        labels, outputs["predictions"]
    )


def _tensorflow(model: keras.Model, images: Any, labels: Any) -> tuple[dict[str, Any], list[Any]]:
    import tensorflow as tf

    values = [variable.value for variable in model.trainable_variables]

    @tf.function  # type: ignore[untyped-decorator]
    def run(read: Any, classes: Any) -> tuple[dict[str, Any], list[Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([read, *values])
            outputs = model(read, training=False)
            loss = _loss(outputs, classes)
        return outputs, tape.gradient(loss, [read, *values])

    outputs, gradients = run(images, labels)
    return outputs, list(gradients)


def _jax(model: keras.Model, images: Any, labels: Any) -> tuple[dict[str, Any], list[Any]]:
    import jax

    def loss(read: Any, values: list[Any]) -> tuple[Any, dict[str, Any]]:
        others = [variable.value for variable in model.non_trainable_variables]
        outputs, _ = model.stateless_call(values, others, read, training=False)
        return _loss(outputs, labels), outputs

    values = [variable.value for variable in model.trainable_variables]
    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, outputs), (image, gradients) = run(images, values)
    return outputs, [image, *gradients]


def _torch(model: keras.Model, images: Any, labels: Any) -> tuple[dict[str, Any], list[Any]]:
    import torch

    read = images.detach().requires_grad_()
    outputs = model(read, training=False)
    values = [variable.value for variable in model.trainable_variables]
    gradients = torch.autograd.grad(_loss(outputs, labels), [read, *values])
    return outputs, list(gradients)
