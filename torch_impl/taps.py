"""Run a model and keep the output of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.model import VGG


def run_with_taps(model: VGG, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """Run a model and return the output of every layer.

    Args:
        model: on any device. It runs in evaluation mode, and is left in the mode it was in.
        images: (N, 3, H, W), preprocessed; cast to the model's float type.

    Returns:
        Tap name -> output, in order: maps (N, C, H, W), fc1 and fc2 (N, units), and
        ``predictions``, the logits (N, classes).

    Raises:
        ValueError: the network does not take images of that size.
    """
    return run_layers_locally(model, images, {})


def run_layers_locally(
    model: VGG, images: NDArray[np.floating[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run every layer on an input of its own.

    Args:
        model: as for `run_with_taps`.
        images: the input of the first layer, (N, 3, H, W).
        given: tap name -> what the next layer reads instead of that tap; cast to the model's float
            type. Maps may have any number and size, if every layer has an input of its own.

    Returns:
        The layers' outputs, with the names of the taps.

    Raises:
        ValueError: a layer reads the one before, and the network does not take images of that size.
    """
    *followed, _ = model.tap_modules
    if not all(tap in given for tap in followed):
        model.configuration.check_input(images.shape[1:])
    parameter = next(model.parameters())

    def tensor(values: NDArray[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=parameter.dtype, device=parameter.device)

    taps: dict[str, NDArray[Any]] = {}

    def keep(name: str, output: torch.Tensor) -> torch.Tensor | None:
        # NumPy has no bfloat16; float32 holds its values exactly.
        values = output.float() if output.dtype == torch.bfloat16 else output
        taps[name] = values.cpu().numpy()
        return tensor(given[name]) if name in given else None

    with tapped(model, keep), torch.inference_mode():
        maps = model.features(tensor(images))
        if model.configuration.include_top:
            model.classifier(torch.flatten(maps, 1))  # (N, C, H, W) -> (N, C * H * W) -> (N, K)
    return taps


@contextmanager
def tapped(
    model: VGG, on_tap: Callable[[str, torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """Put a model into evaluation mode and pass the name and value of every tap to ``on_tap``.

    The next module reads what ``on_tap`` returns, or the tap itself if it returns ``None``. In the
    end the model has no hooks left and is in the mode it was in.
    """
    training = model.training
    hooks = [
        model.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, name=name: on_tap(name, output)
        )
        for name, module in model.tap_modules.items()
    ]
    try:
        model.eval()
        yield
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
