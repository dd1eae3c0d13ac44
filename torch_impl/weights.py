"""A checkpoint into a model, and a model into a checkpoint."""

from __future__ import annotations

import torch

from torch_impl.model import VGG, assign_parameters
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor
from vgg16_spec.checkpoint.matching import fitting
from vgg16_spec.errors import BadInput
from vgg16_spec.names import torchvision_keys


def load_checkpoint(model: VGG, checkpoint: Checkpoint, *, drop_head: bool = False) -> None:
    """Copy a checkpoint's weights into a model; a float32 model holds them exactly.

    Args:
        model: on any device. Parameters on ``meta`` get their memory here, on the CPU.
        checkpoint: the weights.
        drop_head: keep the model's own ``predictions``, with any number of classes.

    Raises:
        BadInput: tensors are missing, unexpected or misshapen, all of them listed; or
            ``drop_head`` would keep predictions on ``meta``, which have no values. The model is
            unchanged.
    """
    expected = model.configuration.weight_shapes
    top = "" if model.configuration.include_top else " without its classifier"
    described = f"the tensors of configuration {model.configuration.name}{top}"
    names = fitting(checkpoint, expected, described, drop_head=drop_head)
    kept = [parameter for name, parameter in parameters(model).items() if name not in names]
    if any(parameter.is_meta for parameter in kept):
        raise BadInput("drop_head", "predictions are on the meta device", "a model with values")
    keys = torchvision_keys(model.configuration)
    assign_parameters(model, checkpoint, {name: keys[name] for name in names})


def to_checkpoint(model: VGG, metadata: Metadata | None = None) -> Checkpoint:
    """A model's weights as a checkpoint; each tensor is read from the model when asked for.

    Args:
        model: in float32, on any device.
        metadata: what the checkpoint says about itself. By default its recipe is torchvision's.

    Raises:
        BadInput: a parameter is missing, unexpected, misshapen or not float32.
    """
    metadata = metadata or Metadata(recipe="torchvision", source="a PyTorch model")

    def tensor(parameter: torch.nn.Parameter) -> Tensor:
        dtype = str(parameter.dtype).removeprefix("torch.")
        return Tensor(tuple(parameter.shape), dtype, lambda: parameter.detach().cpu().numpy())

    tensors = {name: tensor(parameter) for name, parameter in parameters(model).items()}
    return Checkpoint(model.configuration, metadata, tensors)


def parameters(model: VGG) -> dict[str, torch.nn.Parameter]:
    """Canonical tensor name -> the model's parameter, in the order of the model's layers."""
    canonical = {key: name for name, key in torchvision_keys(model.configuration).items()}
    return {canonical.get(key, key): parameter for key, parameter in model.named_parameters()}
