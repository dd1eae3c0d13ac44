"""A checkpoint into a model, and a model into a checkpoint."""

from __future__ import annotations

from torch_impl.assign import assign
from torch_impl.model import VGG
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor
from vgg16_spec.checkpoint.matching import fitting
from vgg16_spec.errors import BadInput
from vgg16_spec.names import torchvision_keys


def load_checkpoint(model: VGG, checkpoint: Checkpoint, *, drop_head: bool = False) -> None:
    """Give the model the checkpoint's weights; every value is kept exactly in a float32 model.

    A model built on the ``meta`` device gets its memory here, on the CPU. With ``drop_head`` the
    model keeps its own ``predictions``, as it was built, of any number of classes; everything else
    is loaded.

    Raises ``BadInput`` that lists every tensor that the other side lacks or has in another shape,
    and for ``drop_head`` with a model whose predictions are on ``meta`` and so have no values; the
    model is then unchanged.
    """
    expected = model.configuration.weight_shapes
    names = fitting(checkpoint, expected, _described(model), drop_head=drop_head)
    keys = torchvision_keys(model.configuration)
    parameters = dict(model.named_parameters())
    if any(parameters[key].is_meta for name, key in keys.items() if name not in names):
        raise BadInput("drop_head", "predictions are on the meta device", "a model with values")
    assign(model, checkpoint, {name: keys[name] for name in names})


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
