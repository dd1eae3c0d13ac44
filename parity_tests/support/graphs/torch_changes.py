"""Changes to the PyTorch model, and what each must leave in the canonical graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest
import torch
from torch import nn
from torch.nn import functional

from parity_tests.support.graphs.traced import CONV, KEPT, POOL

# What changes a PyTorch model, in place.
Change: TypeAlias = Callable[[Any], object]


class Function(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.function(values)


def behind(index: int, make: Callable[[], nn.Module]) -> Change:
    def change(network: Any) -> None:
        network.features[index] = nn.Sequential(network.features[index], make())

    return change


def computed(layer: Callable[[Any], Any], forward: Callable[[Any, torch.Tensor], Any]) -> Change:
    """Have a layer compute something else, with the weights that it has."""

    def change(network: Any) -> None:
        module = layer(network)
        module.forward = lambda values: forward(module, values)

    return change


def stride(network: Any) -> None:
    network.features[2].stride = (2, 2)
    network.features[4] = nn.Identity()


def other_bias(network: Any) -> None:
    fc1, fc2 = network.classifier[0], network.classifier[3]
    fc2.forward = lambda values: functional.linear(values, fc2.weight, fc1.bias)


def first(network: Any) -> Any:
    return network.features[0]


def second(network: Any) -> Any:
    return network.features[2]


full: Final = pytest.mark.full
# Change, what the graph must show or the refusal must say, and the mark of a slow test.
CHANGES: Final[dict[str, tuple[Change, list[str] | str, Any]]] = {
    "extra ReLU": (behind(1, nn.ReLU), ["+ block1_conv1: Relu"], ()),
    "average pooling": (
        lambda network: network.features.__setitem__(4, nn.AvgPool2d(2)),
        [
            f"- block1_conv2: MaxPool {POOL}",
            f"+ block1_conv2: AveragePool count_include_pad=1 {POOL}",
        ],
        full,
    ),
    "no bias": (
        computed(first, lambda m, x: functional.conv2d(x, m.weight, padding=1)),
        r"refused: the weights that the traced graph reads: missing: block1_conv1\.bias$",
        (),
    ),
    "maps flattened as H, W, C": (
        behind(30, lambda: Function(lambda x: x.permute(0, 2, 3, 1))),
        KEPT.replace(r"\w+", "Transpose"),
        (),
    ),
    "no bias of a dense layer": (
        computed(lambda n: n.classifier[3], lambda m, x: functional.linear(x, m.weight)),
        r"refused: the weights that the traced graph reads: missing: fc2\.bias$",
        full,
    ),
    "another layer's bias": (
        other_bias,
        r"refused: the weights that the traced graph reads: missing: fc2\.bias$",
        full,
    ),
    "stride instead of pooling": (
        stride,
        [
            f"- block1_conv2: Conv {CONV}",
            f"+ block1_conv2: Conv {CONV.replace('strides=(1, 1)', 'strides=(2, 2)')}",
            f"- block1_conv2: MaxPool {POOL}",
        ],
        full,
    ),
    "overlapping pooling": (
        lambda network: network.features.__setitem__(4, nn.MaxPool2d(3, 2, 1)),
        [
            f"- block1_conv2: MaxPool {POOL}",
            "+ block1_conv2: MaxPool kernel_shape=(3, 3) pads=(1, 1, 1, 1) strides=(2, 2)",
        ],
        full,
    ),
    "adaptive pooling of torchvision": (
        behind(30, lambda: nn.AdaptiveAvgPool2d(2)),
        [
            "+ block5_conv3: AveragePool count_include_pad=1 kernel_shape=(1, 1) "
            "pads=(0, 0, 0, 0) strides=(1, 1)"
        ],
        full,
    ),
    "layer applied twice": (
        computed(
            second,
            lambda m, x: m._conv_forward(m._conv_forward(x, m.weight, m.bias), m.weight, m.bias),
        ),
        [f"+ block1_conv2: Conv {CONV}"],
        full,
    ),
    "no activation": (
        lambda network: network.features.__setitem__(1, nn.Identity()),
        ["- block1_conv1: Relu"],
        full,
    ),
    "padding on one side": (
        computed(
            first,
            lambda m, x: functional.conv2d(functional.pad(x, (0, 2, 1, 1)), m.weight, m.bias),
        ),
        KEPT,
        full,
    ),
    "another activation": (behind(1, nn.LeakyReLU), KEPT.replace(r"\w+", "LeakyRelu"), full),
    "scale": (behind(1, lambda: Function(lambda x: x * 0.5)), KEPT, full),
    "float16 in between": (
        behind(1, lambda: Function(lambda x: x.half().float())),
        KEPT.replace(r"\w+", "Cast"),
        full,
    ),
    "dropout that stays": (
        behind(1, lambda: Function(lambda x: functional.dropout(x, training=True))),
        KEPT,
        full,
    ),
    "maps transposed": (
        behind(30, lambda: Function(lambda x: x.transpose(2, 3))),
        KEPT.replace(r"\w+", "Transpose"),
        full,
    ),
    "transposed weight": (
        computed(second, lambda m, x: m._conv_forward(x, m.weight.transpose(0, 1), m.bias)),
        KEPT.replace(r"\w+", "Transpose"),
        full,
    ),
    "computed weight": (
        computed(second, lambda m, x: m._conv_forward(x, m.weight * m.weight, m.bias)),
        KEPT.replace(r"\w+", "Mul"),
        full,
    ),
    "softmax": (
        lambda network: network.classifier.append(nn.Softmax(1)),
        KEPT.replace(r"\w+", "Softmax"),
        full,
    ),
}
