"""Common mistakes in ports of VGG16, and what a report must say about each.

Mistakes in the weights and in the preprocessing are planted here. Mistakes in the computation are
planted in ``in_torch.py`` and ``in_keras.py``, under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from vgg16_parity.own_port import Arbiter
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import Recipe, preprocess, read_image

Values: TypeAlias = NDArray[Any]
# (tensor's name, its values, (C, H, W) of the last map) -> the values to use instead.
Reweight: TypeAlias = Callable[[str, Values, tuple[int, ...]], Values]
# Configuration -> the largest error that a mistake causes, in predicted standard deviations.
Deviations: TypeAlias = dict[str, float]

FRAMEWORKS: Final = ("torch", "keras")

DEVIATIONS: Final = Tolerance(
    limit=1.5,
    reason=(
        "The factor between the measured deviations of a planted mistake and those stated for it. "
        "Networks, pictures and mistakes are fixed, and a mistake exceeds rounding by orders of "
        "magnitude, so its size depends only on JPEG decoders, which differ by one level of 255 in "
        "some pixels. A mistake planted in another place is off by several times."
    ),
)
MASKED: Final = Tolerance(
    limit=4.0,
    reason=(
        "The same with a dropout mask, which comes from the framework's own random generator: its "
        "stream may change between versions."
    ),
)


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        name: its name in tests and reports.
        what: what is wrong.
        layer: the first layer that is wrong locally; empty if every layer is right locally.
        shown: the first wrong tap, which the report names if no layer is wrong locally.
        deviations: configuration -> largest error of what the report names, in predicted standard
            deviations, in either framework: the local error of the layer, or the accumulated error
            of the tap. The tiny network runs on both photographs, VGG16 on the first.
        reweight: plants the mistake in the weights.
        recipe: plants the mistake in the recipe.
        tolerance: how well the deviations must agree.
    """

    name: str
    what: str
    layer: str
    shown: str
    deviations: Deviations
    reweight: Reweight | None = None
    recipe: Callable[[Recipe], Recipe] | None = None
    tolerance: Tolerance = DEVIATIONS

    @property
    def named(self) -> str:
        """The layer or tap that the report must name."""
        return self.layer or self.shown


class Port(Protocol):
    """A framework's model, in which mistakes are planted; all arrays are NumPy's."""

    def load(self, checkpoint: Checkpoint) -> None:
        """Load weights, and remove a planted mistake."""

    def plant(self, name: str) -> None:
        """Plant the mistake of that name, if it is one in the computation."""

    def taps(self, images: Values) -> dict[str, Values]:
        """Every tap by name."""

    def layers(self, images: Values, given: dict[str, NDArray[np.float32]]) -> dict[str, Values]:
        """Every layer's output for the given inputs: tap -> input of the layer after it."""


def judged(arbiter: Arbiter, port: Port, mistake: Mistake | None, pictures: Sequence[Path]) -> Row:
    """Plant a mistake, or none, in a port, and judge it."""
    checkpoint, images = arbiter.checkpoint, arbiter.images
    name = "no mistake" if mistake is None else mistake.name
    if mistake is not None:
        checkpoint = changed(checkpoint, mistake)
        images = prepared(arbiter.checkpoint, mistake, pictures)
    port.load(checkpoint)
    port.plant(name)
    layers = port.layers(arbiter.images, arbiter.given)
    return arbiter.judge(name, port.taps(images), layers=layers)


def changed(checkpoint: Checkpoint, mistake: Mistake) -> Checkpoint:
    """The weights with the mistake, in no file; each tensor is read when it is used."""
    reweight = mistake.reweight
    if reweight is None:
        return checkpoint
    features = checkpoint.configuration.feature_shape

    def wrong(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(reweight(name, values, features), np.float32)

    return checkpoint.with_tensors(
        {name: checkpoint.tensor(name).transformed(partial(wrong, name)) for name in checkpoint}
    )


def prepared(
    checkpoint: Checkpoint, mistake: Mistake, pictures: Sequence[Path]
) -> NDArray[np.float32]:
    """The pictures, preprocessed by the checkpoint's recipe or the mistake's."""
    recipe = checkpoint.recipe
    if mistake.recipe is not None:
        recipe = mistake.recipe(recipe)
    size = checkpoint.configuration.input_size
    return np.concatenate([preprocess(read_image(path), recipe, size=size) for path in pictures])


def _unpermuted(name: str, values: Values, features: tuple[int, ...]) -> Values:
    if name != "fc1.weight":
        return values
    channels, height, width = features
    # (out, C * H * W) mistaken for (out, H * W * C)
    wrong = values.reshape(-1, height, width, channels)
    return wrong.transpose(0, 3, 1, 2).reshape(values.shape)


def _transposed(name: str, values: Values, features: tuple[int, ...]) -> Values:
    del name, features
    return values.transpose(0, 1, 3, 2) if values.ndim == 4 else values


def _swapped(layer: str, first: int, second: int) -> Reweight:
    """Swap two outputs of a layer, but not the inputs of the next layer."""

    def reweight(name: str, values: Values, features: tuple[int, ...]) -> Values:
        del features
        if name.rpartition(".")[0] != layer:
            return values
        values = np.array(values)
        values[[first, second]] = values[[second, first]]
        return values

    return reweight


def _shifted(name: str, values: Values, features: tuple[int, ...]) -> Values:
    del features
    values = np.array(values)
    if name == "block3_conv2.bias":
        values[1] += np.float32(1e-3)
    return values


def _halved(name: str, values: Values, features: tuple[int, ...]) -> Values:
    del features
    return values.astype(np.float16) if name == "block2_conv2.weight" else values


def _mirrored(recipe: Recipe) -> Recipe:
    return replace(recipe, channels="BGR" if recipe.channels == "RGB" else "RGB")


def _darker(recipe: Recipe) -> Recipe:
    level = 1 / recipe.scale
    first, second, third = recipe.mean
    return replace(recipe, mean=(first + level, second + level, third + level))


MISTAKES: Final = MappingProxyType(
    {
        mistake.name: mistake
        for mistake in (
            Mistake(
                "fc1 not permuted",
                "fc1 reads its inputs in the order height, width, channel",
                layer="fc1",
                shown="fc1",
                deviations={"tiny": 9.91e6, "D": 1.30e6},
                reweight=_unpermuted,
            ),
            Mistake(
                "kernels transposed",
                "every kernel has its height and width swapped",
                layer="block1_conv1",
                shown="block1_conv1",
                deviations={"tiny": 2.46e7, "D": 4.77e7},
                reweight=_transposed,
            ),
            Mistake(
                "no ReLU",
                "block3_conv2 has no ReLU",
                layer="block3_conv2",
                shown="block3_conv2",
                deviations={"tiny": 1.12e7, "D": 2.06e6},
            ),
            Mistake(
                "average pooling",
                "every pooling layer takes the average instead of the maximum",
                layer="block1_pool",
                shown="block1_pool",
                deviations={"tiny": 2.18e7, "D": 2.18e7},
            ),
            Mistake(
                "classes swapped",
                "classes 3 and 7 are swapped",
                layer="predictions",
                shown="predictions",
                deviations={"tiny": 1.30e7, "D": 6.28e5},
                reweight=_swapped("predictions", 3, 7),
            ),
            Mistake(
                "channels swapped",
                "channels 2 and 5 of block4_conv2 are swapped, but not those of the next layer",
                layer="block4_conv2",
                shown="block4_conv2",
                deviations={"tiny": 1.73e7, "D": 2.46e6},
                reweight=_swapped("block4_conv2", 2, 5),
            ),
            Mistake(
                "softmax",
                "the port returns probabilities instead of logits",
                layer="predictions",
                shown="predictions",
                deviations={"tiny": 8.46e6, "D": 7.64e5},
            ),
            Mistake(
                "BGR",
                "channels are blue, green, red; the weights expect red, green, blue",
                layer="",
                shown="block1_conv1",
                deviations={"tiny": 5.86e7, "D": 1.12e8},
                recipe=_mirrored,
            ),
            Mistake(
                "mean off by a level",
                "the mean is one level of 255 too large",
                layer="",
                shown="block1_conv1",
                deviations={"tiny": 2.11e6, "D": 5.04e6},
                recipe=_darker,
            ),
            Mistake(
                "bias off by 1e-3",
                "one bias of block3_conv2 is 0.001 too large",
                layer="block3_conv2",
                shown="block3_conv2",
                deviations={"tiny": 6.17e4, "D": 4.67e3},
                reweight=_shifted,
            ),
            Mistake(
                "weights in float16",
                "block2_conv2's weights were once stored in float16",
                layer="block2_conv2",
                shown="block2_conv2",
                deviations={"tiny": 4.95e3, "D": 1.49e3},
                reweight=_halved,
            ),
            Mistake(
                "padding on one side",
                "block2_conv1 is padded by two at the bottom and right, not by one on each side",
                layer="block2_conv1",
                shown="block2_conv1",
                deviations={"tiny": 1.28e8, "D": 1.29e7},
            ),
            Mistake(
                "dropout left on",
                "dropout is active, as in training",
                layer="fc2",
                shown="fc2",
                deviations={"tiny": 1.66e7, "D": 3.69e6},
                tolerance=MASKED,
            ),
        )
    }
)
