"""A checkpoint into a model, and a model into a checkpoint."""

from __future__ import annotations

import numpy as np
import torch

from torch_impl.model import VGG
from vgg16.checkpoint import Checkpoint, Metadata, Tensor, misfits
from vgg16.errors import BadInput
from vgg16.names import torchvision_keys


def load_checkpoint(model: VGG, checkpoint: Checkpoint) -> None:
    """Give the model the checkpoint's weights; every value is kept exactly in a float32 model.

    A model built on the ``meta`` device gets its memory here, on the CPU.

    Raises ``BadInput`` that lists every tensor that the other side lacks or has in another shape;
    the model is then unchanged.
    """
    expected = model.configuration.weight_shapes
    if problems := misfits(expected, checkpoint.configuration.weight_shapes):
        raise BadInput(checkpoint.label, "; ".join(problems), _described(model))
    parameters = dict(model.named_parameters())
    for name, key in torchvision_keys(model.configuration).items():
        # A copy: PyTorch does not take read-only memory.
        values = torch.from_numpy(np.array(checkpoint[name]))
        if parameters[key].is_meta:
            owner, _, attribute = key.rpartition(".")
            setattr(model.get_submodule(owner), attribute, torch.nn.Parameter(values))
        else:
            with torch.no_grad():
                parameters[key].copy_(values)


def to_checkpoint(model: VGG, metadata: Metadata | None = None) -> Checkpoint:
    """The model's weights as a checkpoint; each is read from the model when asked for.

    Without ``metadata`` the recipe is torchvision's.

    Raises ``BadInput`` when a parameter is missing, misshapen or not float32.
    """
    metadata = metadata or Metadata(recipe="torchvision", source="a PyTorch model")
    keys = torchvision_keys(model.configuration)
    parameters = dict(model.named_parameters())
    canonical = {key: name for name, key in keys.items()}
    tensors = {
        canonical.get(key, key): Tensor(
            tuple(parameter.shape),
            str(parameter.dtype).removeprefix("torch."),
            lambda parameter=parameter: parameter.detach().cpu().numpy(),  # type: ignore[misc]
        )
        for key, parameter in parameters.items()
    }
    return Checkpoint(model.configuration, metadata, tensors)


def _described(model: VGG) -> str:
    top = "" if model.configuration.include_top else " without its classifier"
    return f"configuration {model.configuration.name}{top}"
