"""A small Keras network with statistics that are not trivial, and the same in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SHAPE = (2, 8, 8, 3)


def network(
    epsilon: float = 1e-3,
    relu: str = "relu",
    pool: str = "MaxPooling2D",
    names: str = "{}",
    pads: bool = False,
) -> Any:
    """Conv, BatchNorm, ReLU, Conv with ReLU, a sum, a pool, and two dense layers.

    Args:
        epsilon: of the BatchNorm.
        relu: the activation of the second convolution.
        pool: the class of the pool.
        names: of layers: ``my_{}``.
        pads: whether padding is a layer of its own.
    """
    import keras
    from keras import layers

    def name(layer: str) -> str:
        return names.format(layer)

    def conv(x: Any, layer: str, activation: str | None = None) -> Any:
        x = layers.ZeroPadding2D(1)(x) if pads else x
        padding = "valid" if pads else "same"
        return layers.Conv2D(4, 3, padding=padding, activation=activation, name=name(layer))(x)

    images = keras.Input(SHAPE[1:], name="images")
    x = conv(images, "conv1")
    x = layers.BatchNormalization(epsilon=epsilon, name=name("bn1"))(x)
    x = layers.ReLU(name=name("relu1"))(x)
    y = conv(x, "conv2", relu)
    x = layers.Add(name=name("add"))([x, y])
    x = getattr(layers, pool)(2, name=name("pool"))(x)
    x = layers.Flatten(name=name("flatten"))(x)
    x = layers.Dropout(0.5, name=name("dropout"))(x)
    x = layers.Dense(64, name=name("fc"))(x)
    model = keras.Model(images, layers.Dense(5, name=name("head"))(x), name="small")
    model.set_weights(weights(model))
    return model


def padded(pads: tuple[int, int] = (1, 0), activation: Any = "gelu") -> Any:
    """A padding that exporters put into the convolution, and a GELU, for which ONNX has no erfc."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input(SHAPE[1:]),
            layers.ZeroPadding2D((pads, pads), name="padding"),
            layers.Conv2D(4, 2, name="conv"),
            layers.Dropout(0.1, name="dropout"),
            layers.Activation(activation, name="act"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(5, name="head"),
        ],
        name="padded",
    )
    model.set_weights(weights(model))
    return model


def weights(model: Any) -> list[NDArray[np.float32]]:
    """Seeded weights and statistics, by order."""
    rng = np.random.default_rng(0)
    made = []
    for variable in model.weights:
        values = rng.standard_normal(variable.shape)
        if values.ndim > 1:
            values /= values[..., 0].size ** 0.5
        elif variable.name in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, variable.shape)
        else:
            values *= 0.3
        made.append(values.astype(np.float32))
    return made


class Twin(nn.Module):
    """The network in PyTorch, with the weights of a model in Keras."""

    def __init__(self, model: Any, epsilon: float = 1e-3, relu: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, eps=epsilon)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU() if relu else nn.Identity()
        self.shrink = nn.MaxPool2d(2)
        self.dense = nn.Linear(64, 64)
        self.classes = nn.Linear(64, 5)
        with torch.no_grad():
            self._load([np.array(values) for values in model.get_weights()])

    def _load(self, values: list[NDArray[np.float32]]) -> None:
        # Keras has the statistics after all trained weights of a layer, in the layers' order.
        targets = [
            *(self.first.weight, self.first.bias),
            *(self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var),
            *(self.second.weight, self.second.bias, self.dense.weight, self.dense.bias),
            *(self.classes.weight, self.classes.bias),
        ]
        for target, given in zip(targets, values, strict=True):
            # (kH, kW, in, out) -> (out, in, kH, kW); (in, out) -> (out, in)
            moved = given.transpose(3, 2, 0, 1) if given.ndim == 4 else given.T
            assert target is not None
            target.copy_(torch.from_numpy(moved.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = self.shrink(x + self.act(self.second(x)))
        flat = torch.flatten(x.permute(0, 2, 3, 1), 1)  # (N, C, H, W) -> (N, H · W · C)
        result: torch.Tensor = self.classes(self.dense(flat))
        return result


def images(seed: int = 0) -> NDArray[np.float32]:
    """Images (N, H, W, C)."""
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
