"""The gradients of a loss, and one step of training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.model import VGG
from vgg16_spec.names import torchvision_keys

Arrays = dict[str, NDArray[Any]]


def run_with_gradients(
    model: VGG, images: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[Arrays, Arrays]:
    """The taps that a ReLU ends, and the gradients of the mean cross-entropy of the logits.

    Args:
        model: with its classifier, on any device; it is run in evaluation mode, without dropout,
            and left in the mode it was in.
        images: (N, 3, H, W), preprocessed; cast to the model's own float type.
        labels: the class of each image, (N,).

    The taps are those of this very pass, maps as (N, C, H, W). The gradients are named ``images``,
    (N, 3, H, W), and as the parameters, in canonical names and layout.

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    parameters = _parameters(model)
    device = next(iter(parameters.values())).device
    dtype = next(iter(parameters.values())).dtype
    read = torch.tensor(images, dtype=dtype, device=device, requires_grad=True)
    rectified = [
        (name, submodule)
        for name, key in model.tap_modules.items()
        if isinstance(submodule := model.get_submodule(key), torch.nn.ReLU)
    ]
    taps: dict[str, torch.Tensor] = {}
    training = model.training
    hooks = [
        submodule.register_forward_hook(partial(_keep, taps, name)) for name, submodule in rectified
    ]
    try:
        model.eval()
        logits = model(read)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels, device=device))
    found = torch.autograd.grad(loss, [read, *parameters.values()])
    gradients = dict(zip(["images", *parameters], found, strict=True))
    return _arrays(taps), _arrays(gradients)


def sgd_step(
    model: VGG,
    gradients: Mapping[str, NDArray[Any]],
    velocity: Mapping[str, NDArray[Any]],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> tuple[Arrays, Arrays]:
    """One step of ``torch.optim.SGD``: the parameters and the velocity after it.

    Args:
        model: its parameters are changed.
        gradients: canonical name -> the loss's gradient, for every parameter.
        velocity: canonical name -> the velocity before the step, for every parameter.
        learning_rate: what the velocity is multiplied with.
        momentum: how much of the velocity stays.
        weight_decay: how much of a parameter is added to its gradient.

    Everything is in canonical layout. The step is b = momentum · b + gradient + weight_decay · w,
    then w = w - learning_rate · b, which is PyTorch's own definition: the velocity is without the
    learning rate, and the decay goes through it.
    """
    parameters = _parameters(model)
    optimizer = torch.optim.SGD(
        parameters.values(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    for name, parameter in parameters.items():
        parameter.grad = _like(parameter, gradients[name])
        optimizer.state[parameter]["momentum_buffer"] = _like(parameter, velocity[name])
    optimizer.step()
    moved = {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in parameters.items()
    }
    for parameter in parameters.values():
        parameter.grad = None
    return _arrays(parameters), _arrays(moved)


def _parameters(model: VGG) -> dict[str, torch.nn.Parameter]:
    """Canonical tensor name -> the model's parameter, in canonical order."""
    parameters = dict(model.named_parameters())
    return {name: parameters[key] for name, key in torchvision_keys(model.configuration).items()}


def _keep(
    taps: dict[str, torch.Tensor],
    name: str,
    _module: torch.nn.Module,
    _inputs: tuple[torch.Tensor, ...],
    output: torch.Tensor,
) -> None:
    taps[name] = output


def _like(parameter: torch.nn.Parameter, values: NDArray[Any]) -> torch.Tensor:
    # A copy: PyTorch takes neither read-only memory nor negative strides.
    return torch.from_numpy(np.array(values, order="C")).to(parameter.device, parameter.dtype)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
