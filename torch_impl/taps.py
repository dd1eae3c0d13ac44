"""Run a model and keep the output of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.model import VGG


def run_with_taps(model: VGG, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Args:
        model: on any device; it is run in evaluation mode, and left in the mode it was in.
        images: (N, 3, H, W), preprocessed; cast to the model's own float type.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes).

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    return _run(model, images, {})


def run_layers_alone(
    model: VGG, images: NDArray[np.floating[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """What every layer makes of a given input, by the layer's name, in order.

    Args:
        model: as for `run_with_taps`.
        images: what the first layer reads, (N, 3, H, W).
        given: the name of every tap but the last -> what the layer after it reads instead of it, in
            the tap's shape; cast to the model's own float type.

    The outputs have the taps' names and shapes.
    """
    return _run(model, images, given)


def _run(
    model: VGG, images: NDArray[np.floating[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    parameter = next(model.parameters())

    def tensor(values: NDArray[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=parameter.dtype, device=parameter.device)

    taps: dict[str, NDArray[Any]] = {}
    training = model.training
    hooks = [
        model.get_submodule(module).register_forward_hook(
            partial(_keep, taps, name, partial(tensor, given[name]) if name in given else None)
        )
        for name, module in model.tap_modules.items()
    ]
    try:
        model.eval()
        with torch.inference_mode():
            model(tensor(images))
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return taps


def _keep(
    taps: dict[str, NDArray[Any]],
    name: str,
    replacement: Callable[[], torch.Tensor] | None,
    _module: torch.nn.Module,
    _inputs: tuple[torch.Tensor, ...],
    output: torch.Tensor,
) -> torch.Tensor | None:
    # NumPy has no bfloat16; float32 holds its values exactly.
    values = output.float() if output.dtype == torch.bfloat16 else output
    taps[name] = values.cpu().numpy()
    # A hook's result, where there is one, is what the next module reads.
    return None if replacement is None else replacement()
