"""The gradients of a loss, and one step of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.model import VGG
from torch_impl.taps import tapped
from torch_impl.weights import parameters

Arrays: TypeAlias = dict[str, NDArray[Any]]


def run_with_gradients(
    model: VGG, images: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[Arrays, Arrays]:
    """Run a model forward and backward through the mean cross-entropy of its logits.

    Args:
        model: with its classifier, on any device. It runs in evaluation mode, without dropout, and
            is left in the mode it was in.
        images: (N, 3, H, W), preprocessed; cast to the model's float type.
        labels: the class of each image, (N,).

    Returns:
        The taps of this very pass that are outputs of a ReLU, maps as (N, C, H, W); and the
        gradients of ``images``, (N, 3, H, W), and of the parameters, in canonical names and layout.

    Raises:
        ValueError: the network does not take images of that size.
    """
    variables = parameters(model)
    one = next(iter(variables.values()))
    read = torch.tensor(images, dtype=one.dtype, device=one.device, requires_grad=True)
    taps: dict[str, torch.Tensor] = {}
    with tapped(model, lambda name, output: taps.update({name: output})):
        logits = model(read)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels, device=one.device))
    found = torch.autograd.grad(loss, [read, *variables.values()])
    gradients = dict(zip(["images", *variables], found, strict=True))
    rectified = {layer.name for layer in model.configuration.weighted_layers if layer.relu}
    kept = {name: values for name, values in taps.items() if name in rectified}
    return _arrays(kept), _arrays(gradients)


def sgd_step(
    model: VGG,
    gradients: Mapping[str, NDArray[Any]],
    velocity: Mapping[str, NDArray[Any]],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> tuple[Arrays, Arrays]:
    """Take one step of ``torch.optim.SGD``, which changes the model's parameters.

    With b the velocity and w a parameter, the step is
    b = momentum · b + gradient + weight_decay · w, then w = w - learning_rate · b. This is
    PyTorch's own definition: the velocity excludes the learning rate and includes the decay.

    Returns:
        The parameters and the velocity after the step. These, ``gradients`` and ``velocity`` hold
        every parameter in canonical names and layout.
    """
    variables = parameters(model)
    optimizer = torch.optim.SGD(
        variables.values(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    for name, parameter in variables.items():
        parameter.grad = _like(parameter, gradients[name])
        optimizer.state[parameter]["momentum_buffer"] = _like(parameter, velocity[name])
    optimizer.step()
    optimizer.zero_grad()
    buffers = {name: optimizer.state[p]["momentum_buffer"] for name, p in variables.items()}
    return _arrays(variables), _arrays(buffers)


def _like(parameter: torch.nn.Parameter, values: NDArray[Any]) -> torch.Tensor:
    # A copy: PyTorch takes neither read-only memory nor negative strides.
    return torch.from_numpy(np.array(values, order="C")).to(parameter.device, parameter.dtype)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
