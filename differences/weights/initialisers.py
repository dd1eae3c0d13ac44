"""The initial values of a layer by default in Keras, PyTorch, torchvision and the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from differences.harness import tiny
from differences.harness.experiment import Figures, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import Convolution, configuration
from vgg16_spec.layouts import contiguous, hwio_to_oihw

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE = "Default initialisers"
RULE = (
    "Before comparing networks that are trained from scratch, name the initialiser of weights "
    "and biases in both frameworks, and compare activations layer by layer."
)

# A layer and its number -> a kernel (out, in, kH, kW) and a bias.
Draw = Callable[[Convolution, int], tuple[Any, Any]]
# The standard deviation of 2.4 million draws is known to a tenth of this.
_CLOSE = 0.01


class Followed(NamedTuple):
    """Two photographs run through VGG16's convolutions.

    Attributes:
        sizes: the root mean square of each convolution's output, after its ReLU.
        apart: the difference of the photographs' last outputs, relative to their size.
        deviation: the standard deviation of the last convolution's kernel.
        bias: the largest magnitude of its bias.
    """

    sizes: list[float]
    apart: float
    deviation: float
    bias: float


def run() -> Finding:
    """Initialise VGG16's convolutions in four ways, and run two photographs through them."""
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
        {
            "For n inputs to a sum, the standard deviation of weights is 0.1 in the paper, "
            "√(2/n) in torchvision, √(1/n) in Keras (as many outputs as inputs) and √(1/3n) in "
            "PyTorch, to 1 %.": off < _CLOSE,
            "Of the four, only PyTorch's default initialises biases to anything but zero.": (
                [name for name, way in followed.items() if way.bias] == ["PyTorch"]
            ),
            "Through 13 layers the signal grows more than a thousandfold with the paper's "
            "values, stays within a factor of ten with torchvision's, and shrinks more than "
            "tenfold with either framework's default.": (
                change["paper"] > 1000
                and 0.1 < change["torchvision"] < 10
                and max(change["Keras"], change["PyTorch"]) < 0.1
            ),
            "With PyTorch's default, the biases are what remains of the signal: two photographs "
            "differ ten times less at the end, relative to its size, than with Keras's default.": (
                10 * followed["PyTorch"].apart < followed["Keras"].apart
            ),
        },
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


def _figures(followed: dict[str, Followed], change: dict[str, float]) -> Figures:
    figures: Figures = {
        f"deviation of a weight of block5_conv3, {name}": way.deviation
        for name, way in followed.items()
    }
    figures["largest bias of block5_conv3, PyTorch"] = followed["PyTorch"].bias
    figures |= {
        f"block5_conv3's output over block1_conv1's, {name}": value
        for name, value in change.items()
    }
    figures |= {
        f"difference of two photographs there, {name}": (followed[name].apart, "of its size")
        for name in ("Keras", "PyTorch")
    }
    return figures


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
    """Section 3.1 of the paper: a normal distribution of variance 0.01, biases zero."""
    return torch.randn(layer.weight_shape) * 0.1, torch.zeros(layer.out_channels)


def _torchvision(torch: Any, layer: Convolution, _: int) -> tuple[Any, Any]:
    """The default of ``torchvision.models.VGG`` (``init_weights``)."""
    kernel = torch.empty(layer.weight_shape)
    torch.nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    return kernel, torch.zeros(layer.out_channels)


def _keras(torch: Any, keras: Any, layer: Convolution, number: int) -> tuple[Any, Any]:
    """The default of a Keras layer, with a seed."""
    made = keras.layers.Conv2D(layer.out_channels, layer.kernel_size)
    made.kernel_initializer = type(made.kernel_initializer)(seed=number)
    made.build((None, None, None, layer.in_channels))
    kernel, bias = (np.array(values) for values in made.weights)
    return torch.from_numpy(contiguous(hwio_to_oihw(kernel))), torch.from_numpy(bias)


def _pytorch(torch: Any, layer: Convolution, _: int) -> tuple[Any, Any]:
    """The default of a PyTorch layer."""
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
