"""Run a model and keep the output of every layer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torch_impl.model import VGG


def run_with_taps(model: VGG, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """The output of every tap by name, in order; the last, ``predictions``, are the logits.

    Parameters
    ----------
    model: on any device; it is run in evaluation mode, and left in the mode it was in.
    images: (N, 3, H, W), preprocessed; cast to the model's own float type.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes).

    Raises ``ValueError`` for images of a size that the network does not take.
    """
    parameter = next(model.parameters())
    taps: dict[str, NDArray[Any]] = {}
    training = model.training
    hooks = [
        model.get_submodule(module).register_forward_hook(partial(_keep, taps, name))
        for name, module in model.tap_modules.items()
    ]
    try:
        model.eval()
        with torch.inference_mode():
            model(torch.tensor(images, dtype=parameter.dtype, device=parameter.device))
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return taps


def _keep(
    taps: dict[str, NDArray[Any]],
    name: str,
    _module: torch.nn.Module,
    _inputs: tuple[torch.Tensor, ...],
    output: torch.Tensor,
) -> None:
    # NumPy has no bfloat16; float32 holds its values exactly.
    values = output.float() if output.dtype == torch.bfloat16 else output
    taps[name] = values.cpu().numpy()
