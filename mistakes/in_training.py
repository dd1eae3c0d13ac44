"""Mistakes planted in training: in the model, in the gradients, in the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

import keras_impl
import torch_impl
from vgg16_parity.judge.gradients.run import Results
from vgg16_parity.network import sgd_step
from vgg16_spec import layouts
from vgg16_spec.checkpoint import Checkpoint

Arrays = dict[str, NDArray[Any]]

FIGURES: Mapping[str, float] = {
    "learning_rate": sgd_step.LEARNING_RATE,
    "momentum": sgd_step.MOMENTUM,
    "weight_decay": sgd_step.WEIGHT_DECAY,
}


def model_of(checkpoint: Checkpoint) -> torch_impl.VGG:
    """A PyTorch model with the checkpoint's weights."""
    model = torch_impl.VGG(checkpoint.configuration.name)
    torch_impl.load_checkpoint(model, checkpoint)
    return model


def trained(
    checkpoint: Checkpoint,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    model: torch_impl.VGG | None = None,
    figures: Mapping[str, float] = FIGURES,
    changes: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Results:
    """PyTorch's results of a case.

    Args:
        checkpoint: the weights.
        images: (N, 3, H, W), preprocessed.
        labels: the class of each image, (N,).
        model: the model to train; one with the checkpoint's weights by default.
        figures: the step's hyperparameters.
        changes: parameter's name -> a function that changes its gradient before the step.
    """
    model = model or model_of(checkpoint)
    taps, gradients = torch_impl.run_with_gradients(model, images, labels)
    for name, change in (changes or {}).items():
        gradients[name] = change(gradients[name])
    parameters, velocity = torch_impl.sgd_step(
        model, gradients, sgd_step.velocity(checkpoint), **figures
    )
    return Results(taps, gradients, parameters, velocity)


class DropoutOn(torch.nn.Module):
    """Dropout that is active in evaluation mode too."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The module's output."""
        torch.manual_seed(0)
        return torch.nn.functional.dropout(values, 0.5, training=True)


class ReluWithoutMask(torch.nn.Module):
    """ReLU that passes every gradient on."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The module's output."""
        return values + (torch.relu(values) - values).detach()


class PoolToTheFirst(torch.nn.Module):
    """Max pooling whose gradient goes to the first element of each window."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The module's output."""
        first = maps[:, :, ::2, ::2]
        return first + (torch.nn.functional.max_pool2d(maps, 2) - first).detach()


def exchanged(model: torch_impl.VGG, key: str, module: torch.nn.Module) -> torch_impl.VGG:
    """Replace the submodule at a key of ``tap_modules``; returns the model."""
    owner, _, name = key.rpartition(".")
    setattr(model.get_submodule(owner), name, module)
    return model


def keras_step(
    tiny: Checkpoint, gradients: Any, *, scaled: bool, decay: str
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """A step of Keras's SGD, with or without the parts that make it equal to the paper's.

    Args:
        tiny: the weights.
        gradients: parameter's name -> its gradient, in canonical layout.
        scaled: whether to convert the velocity, which includes the learning rate in Keras.
        decay: ``gradient`` adds weight decay to the gradient, ``keras`` uses Keras's own.

    Returns:
        Parameters and velocity after the step, in canonical layout.
    """
    model = keras_impl.functional("tiny", classifier_activation=None)
    keras_impl.load_checkpoint(model, tiny)
    shape = tiny.configuration.feature_shape
    optimizer = keras.optimizers.SGD(
        sgd_step.LEARNING_RATE,
        momentum=sgd_step.MOMENTUM,
        weight_decay=sgd_step.WEIGHT_DECAY if decay == "keras" else None,
    )
    held = {
        f"{layer.name}.{kind}": variable
        for layer in model.layers
        for kind, variable in zip(("weight", "bias"), layer.weights, strict=False)
    }
    optimizer.build(list(held.values()))
    factor = -sgd_step.LEARNING_RATE if scaled else 1.0
    before, moves = sgd_step.velocity(tiny), []
    for slot, (name, variable) in zip(optimizer.momentums, held.items(), strict=True):
        slot.assign(factor * layouts.canonical_to_keras(name, before[name], shape))
        gradient = layouts.canonical_to_keras(name, gradients[name], shape)
        added = sgd_step.WEIGHT_DECAY * variable.numpy() if decay == "gradient" else 0
        moves.append(keras.ops.convert_to_tensor(gradient + added))
    optimizer.apply(moves, list(held.values()))

    def canonical(values: Any) -> dict[str, NDArray[Any]]:
        return {
            name: layouts.keras_to_canonical(name, part.numpy(), shape)
            for name, part in zip(held, values, strict=True)
        }

    velocity = {name: part / factor for name, part in canonical(optimizer.momentums).items()}
    return canonical(held.values()), velocity
