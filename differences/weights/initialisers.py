"""What a layer starts from where nothing is said: Keras, PyTorch, torchvision and the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import Convolution, configuration
from vgg16_spec.layouts import contiguous, hwio_to_oihw

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE = "Default initialisers"
RULE = (
    "Name the initialiser of weights and of biases in both frameworks before a network that is to "
    "be trained from scratch is compared, and compare activations by layer."
)

# A convolution's kernel, (out, in, kH, kW), and its bias, by the layer and its number.
Draw = Callable[[Convolution, int], tuple[Any, Any]]
# Of 2.4 million draws the standard deviation is known to a tenth of this.
_CLOSE = 0.01


class Followed(NamedTuple):
    """Two photographs through VGG16's convolutions.

    Attributes:
        sizes: the root mean square of each convolution's output, after its ReLU.
        apart: how far the photographs' outputs of the last are apart, as a part of their size.
        deviation: the standard deviation of the last convolution's kernel.
        bias: the largest magnitude of its bias.
    """

    sizes: list[float]
    apart: float
    deviation: float
    bias: float


def run() -> Finding:
    """Draw VGG16's convolutions in four ways and follow two photographs through them."""
    torch, keras = frameworks()
    draws: dict[str, Draw] = {
        "paper": partial(_paper, torch),
        "torchvision": partial(_torchvision, torch),
        "Keras": partial(_keras, torch, keras),
        "PyTorch": partial(_pytorch, torch),
    }
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        followed = {name: _followed(torch, draw) for name, draw in draws.items()}
    off = max(abs(way.deviation / _expected()[name] - 1) for name, way in followed.items())
    change = {name: way.sizes[-1] / way.sizes[0] for name, way in followed.items()}
    return Finding(
        _figures(followed, change),
        (
            Claim(
                "With n inputs to a sum, weights vary by 0.1 in the paper, √(2/n) in torchvision, "
                "√(1/n) in Keras (as many outputs as inputs) and √(1/3n) in PyTorch, to 1%.",
                off < _CLOSE,
            ),
            Claim(
                "Of the four, only PyTorch's own default draws biases that are not zero.",
                [name for name, way in followed.items() if way.bias] == ["PyTorch"],
            ),
            Claim(
                "Through 13 layers the signal grows more than a thousandfold from the paper's "
                "figures, stays within a factor of ten from torchvision's, and shrinks more than "
                "tenfold from either framework's default.",
                change["paper"] > 1000
                and 0.1 < change["torchvision"] < 10
                and max(change["Keras"], change["PyTorch"]) < 0.1,
            ),
            Claim(
                "What is left of it with PyTorch's default are the biases: two photographs differ "
                "ten times less there, for their size, than with Keras's.",
                10 * followed["PyTorch"].apart < followed["Keras"].apart,
            ),
        ),
        lambda picture: _draw(picture, {name: way.sizes for name, way in followed.items()}),
    )


def _expected() -> dict[str, float]:
    """The standard deviation of a weight of the last convolution, 512 channels to 512."""
    fan_in = math.prod(configuration("D").convolutions[-1].weight_shape[1:])
    return {
        "paper": 0.1,
        "torchvision": math.sqrt(2 / fan_in),
        "Keras": math.sqrt(1 / fan_in),  # Glorot's 2 / (fan-in + fan-out), which are equal here
        "PyTorch": math.sqrt(1 / (3 * fan_in)),
    }


def _figures(followed: dict[str, Followed], change: dict[str, float]) -> tuple[Figure, ...]:
    figures = [
        Figure(f"deviation of a weight of block5_conv3, {name}", way.deviation)
        for name, way in followed.items()
    ]
    figures.append(Figure("largest bias of block5_conv3, PyTorch", followed["PyTorch"].bias))
    figures += [
        Figure(f"block5_conv3's output over block1_conv1's, {name}", value)
        for name, value in change.items()
    ]
    figures += [
        Figure(
            f"how far two photographs are apart there, {name}", followed[name].apart, "of its size"
        )
        for name in ("Keras", "PyTorch")
    ]
    return tuple(figures)


def _followed(torch: Any, draw: Draw) -> Followed:
    values = torch.from_numpy(tiny.images()[:2])
    sizes: list[float] = []
    for number, layer in enumerate(configuration("D", include_top=False).layers[:-1]):
        if isinstance(layer, Convolution):
            kernel, bias = draw(layer, number)
            values = torch.nn.functional.conv2d(values, kernel, bias, padding=layer.padding).relu()
            sizes.append(float(values.square().mean().sqrt()))
        else:
            values = torch.nn.functional.max_pool2d(values, 2)
    apart = float((values[0] - values[1]).square().mean().sqrt()) / sizes[-1]
    return Followed(sizes, apart, float(kernel.std()), float(bias.abs().max()))


def _paper(torch: Any, layer: Convolution, _: int) -> tuple[Any, Any]:
    """Section 3.1: a normal distribution of variance 0.01, biases zero."""
    return torch.randn(layer.weight_shape) * 0.1, torch.zeros(layer.out_channels)


def _torchvision(torch: Any, layer: Convolution, _: int) -> tuple[Any, Any]:
    """What ``torchvision.models.VGG`` does with ``init_weights``, its default."""
    kernel = torch.empty(layer.weight_shape)
    torch.nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    return kernel, torch.zeros(layer.out_channels)


def _keras(torch: Any, keras: Any, layer: Convolution, number: int) -> tuple[Any, Any]:
    """A Keras layer's own, with a seed."""
    made = keras.layers.Conv2D(layer.out_channels, layer.kernel_size)
    made.kernel_initializer = type(made.kernel_initializer)(seed=number)
    made.build((None, None, None, layer.in_channels))
    kernel, bias = (np.array(values) for values in made.weights)
    return torch.from_numpy(contiguous(hwio_to_oihw(kernel))), torch.from_numpy(bias)


def _pytorch(torch: Any, layer: Convolution, _: int) -> tuple[Any, Any]:
    """A PyTorch layer's own."""
    made = torch.nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)
    return made.weight.detach(), made.bias.detach()


def _draw(picture: Picture, sizes: dict[str, list[float]]) -> None:
    names = [layer.name for layer in configuration("D").convolutions]
    axes = picture.subplots()
    for (name, values), marker in zip(sizes.items(), "osD^", strict=True):
        axes.semilogy(values, marker=marker, markersize=4, label=name)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_ylabel("root mean square of the output")
    axes.set_title("Two photographs through VGG16's untrained convolutions")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
