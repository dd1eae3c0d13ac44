"""Small PyTorch networks with running statistics that are not trivial, and ports of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SHAPE = (2, 3, 12, 12)


class Block(nn.Module):
    """Conv, BatchNorm, ReLU, and a shortcut; the ReLU is used twice."""

    def __init__(self, channels: int, epsilon: float = 1e-5, last_relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=epsilon)
        self.relu = nn.ReLU(inplace=True)
        self.last_relu = last_relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.relu(self.bn(self.conv(x)))
        return self.relu(x - 0.5) if self.last_relu else x - 0.5


class Network(nn.Module):
    """A stem, two blocks, a pool, a dense layer behind a flattening."""

    def __init__(
        self, epsilon: float = 1e-5, stem_relu: bool = True, last_relu: bool = True
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU() if stem_relu else nn.Identity()
        )
        self.blocks = nn.Sequential(Block(6), Block(6, epsilon, last_relu))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(216, 216)
        self.head = nn.Linear(216, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.blocks(self.stem(x)))
        x = self.fc(torch.flatten(x, 1))
        result: torch.Tensor = self.head(self.dropout(x))
        return result


class OtherNames(nn.Module):
    """The same network with other names, its layers in one list and with more of them."""

    def __init__(self, original: Network, stem_relu: bool = True) -> None:
        super().__init__()
        stem, first, second = original.stem[0], *original.blocks
        self.layers = nn.ModuleList([stem, first.conv, first.bn, second.conv, second.bn])  # type: ignore[list-item]
        self.act = nn.ReLU()
        self.reduce = nn.MaxPool2d(2)
        self.flat = nn.Flatten()
        self.dense = original.fc
        self.classes = original.head
        self.stem_relu = stem_relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x)
        x = self.act(x) if self.stem_relu else x
        for index in (1, 3):
            x = x + self.act(self.layers[index + 1](self.layers[index](x)))
            x = self.act(x - 0.5)
        result: torch.Tensor = self.classes(self.dense(self.flat(self.reduce(x))))
        return result


def settle(model: nn.Module, seed: int = 0) -> None:
    """Give a network seeded weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in model.state_dict().items():
        if not values.is_floating_point():
            continue
        drawn = torch.randn(values.shape, generator=generator)
        if values.ndim > 1:
            drawn /= values[0].numel() ** 0.5
        elif name.endswith("running_var") or "bn.weight" in name:
            drawn = 0.5 + torch.rand(values.shape, generator=generator)
        else:
            drawn *= 0.3
        values.copy_(drawn)


def network(**options: Any) -> Network:
    """A settled network; the same weights whatever its options."""
    made = Network(**options)
    settle(made)
    return made


def images(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
