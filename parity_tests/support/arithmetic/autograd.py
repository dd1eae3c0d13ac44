"""The gradients of a checkpoint's network by PyTorch's autograd in float64.

It walks the architecture with PyTorch's functions, so that it takes any configuration, also those
that ``torch_impl`` has no model of, and any activation pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vgg16_parity.judge.gradients.activation_pattern import ActivationPattern
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint


def float64_gradients(
    checkpoint: Checkpoint,
    images: NDArray[np.floating],
    labels: NDArray[np.int64],
    pattern: ActivationPattern | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The gradients of the mean cross-entropy, with respect to ``images`` and every parameter."""
    leaves = {name: _leaf(checkpoint[name]) for name in checkpoint}
    read = _leaf(images)
    values, last = read, ""
    for layer in checkpoint.configuration.layers:
        match layer:
            case Convolution() | Dense():
                weight, bias = leaves[f"{layer.name}.weight"], leaves[f"{layer.name}.bias"]
                if isinstance(layer, Convolution):
                    values = functional.conv2d(values, weight, bias, padding=layer.padding)
                else:
                    values = functional.linear(values, weight, bias)
                if isinstance(layer, Convolution) or layer.relu:
                    values = _rectified(values, layer.name, pattern)
                last = layer.name
            case MaxPooling():
                values = _pooled(values, last, pattern)
            case Flatten():
                values = values.flatten(1)
    loss = functional.cross_entropy(values, torch.from_numpy(labels))
    found = torch.autograd.grad(loss, [read, *leaves.values()])
    return {
        name: gradient.numpy() for name, gradient in zip(["images", *leaves], found, strict=True)
    }


class _InFloat64(Checkpoint):
    """A checkpoint with other weights, in float64: in float32, small steps would vanish."""

    def __init__(self, like: Checkpoint, weights: Mapping[str, NDArray[np.float64]]) -> None:
        tensors = {name: like.tensor(name) for name in like}
        super().__init__(like.configuration, like.metadata, tensors)
        self._weights = weights

    def __getitem__(self, name: str) -> Any:
        return self._weights[name]


def float64_loss(
    weights: Mapping[str, NDArray[np.float64]],
    checkpoint: Checkpoint,
    images: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> float:
    """The mean cross-entropy with other weights, by the arbiter's own forward pass."""
    changed = _InFloat64(checkpoint, weights)
    logits = reference.run_with_taps(changed, images)["predictions"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(shifted, labels[:, np.newaxis], axis=1)[:, 0]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())


def _leaf(values: NDArray[np.floating]) -> torch.Tensor:
    return torch.tensor(values.astype(np.float64), requires_grad=True)


def _rectified(values: torch.Tensor, tap: str, pattern: ActivationPattern | None) -> torch.Tensor:
    return (
        functional.relu(values) if pattern is None else values * torch.tensor(pattern.passed(tap))
    )


def _pooled(values: torch.Tensor, tap: str, pattern: ActivationPattern | None) -> torch.Tensor:
    if pattern is None:
        return functional.max_pool2d(values, 2)
    images, channels, height, width = values.shape
    rows, columns = height // 2, width // 2
    whole = values[:, :, : 2 * rows, : 2 * columns].reshape(images, channels, rows, 2, columns, 2)
    split = whole.transpose(3, 4).reshape(images, channels, rows, columns, 4)
    return split.gather(4, torch.tensor(pattern.winners(tap)))[..., 0]
