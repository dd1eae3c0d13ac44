"""Mistakes that people make when they port VGG16, and what the project must say of each.

Those in the weights and in the pictures are planted here; those in what is computed, in
``torch_mistakes.py`` and ``keras_mistakes.py``, under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from vgg16_parity.own_port import Arbiter
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint, Tensor
from vgg16_spec.images.preprocessing import RECIPES, Recipe, preprocess, read_image

Values: TypeAlias = NDArray[Any]
# A tensor's name, its values and the last map's (C, H, W) -> other values, or the same.
Reweight: TypeAlias = Callable[[str, Values, tuple[int, ...]], Values]
# A configuration -> how many predicted standard deviations a mistake lands at.
Deviations: TypeAlias = dict[str, float]

FRAMEWORKS: Final = ("torch", "keras")

DEVIATIONS: Final = Tolerance(
    limit=1.5,
    reason=(
        "The factor between the deviations that a planted mistake lands at and those stated for "
        "it. Networks, pictures and mistakes are fixed, and a mistake is larger than all rounding "
        "by orders of magnitude, so that its size moves by what a decoder of JPEG leaves open: a "
        "level of 255 in some pixels. A mistake planted elsewhere is off by several times."
    ),
)
MASKED: Final = Tolerance(
    limit=4.0,
    reason=(
        "The same where dropout draws the mask: it is from the framework's own generator, whose "
        "stream may be another in another version."
    ),
)


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        name: what tests and reports call it.
        what: what is done wrong.
        layer: the first layer that is wrong by itself; empty where every layer alone is right.
        shown: the first tap that is wrong, which is what is named where no layer is.
        deviations: configuration -> the most predicted standard deviations that an element of what
            is named is off by, in either framework: of the layer alone, or of the tap where every
            layer is right. On the tiny network with both photographs, on VGG16 with the first
            alone.
        reweight: plants it in the weights.
        recipe: plants it in the recipe.
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
        """What the report must name."""
        return self.layer or self.shown


class Port(Protocol):
    """A framework's model, into which mistakes are planted; everything in and out is NumPy."""

    def plant(self, name: str) -> None:
        """Have the model compute the mistake of that name, where it is one of computing."""

    def load(self, checkpoint: Checkpoint) -> None:
        """Give the model these weights."""

    def taps(self, images: Values) -> dict[str, Values]:
        """Every tap by name."""

    def layers(self, images: Values, given: dict[str, NDArray[np.float32]]) -> dict[str, Values]:
        """What each layer makes of what it is given."""


def judged(arbiter: Arbiter, port: Port, mistake: Mistake | None, pictures: Sequence[Path]) -> Row:
    """Plant a mistake, or none, in a port and judge it."""
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
    """The weights with the mistake in them, in no file; each is read when it is asked for."""
    reweight = mistake.reweight
    if reweight is None:
        return checkpoint
    features = checkpoint.configuration.feature_shape

    def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
        return Tensor(
            shape,
            "float32",
            lambda: np.ascontiguousarray(reweight(name, checkpoint[name], features), np.float32),
        )

    shapes = checkpoint.configuration.weight_shapes
    tensors = {name: tensor(name, shape) for name, shape in shapes.items()}
    return Checkpoint(checkpoint.configuration, checkpoint.metadata, tensors)


def prepared(
    checkpoint: Checkpoint, mistake: Mistake, pictures: Sequence[Path]
) -> NDArray[np.float32]:
    """The pictures, by the checkpoint's recipe or the mistake's."""
    recipe = RECIPES[checkpoint.metadata.recipe]
    if mistake.recipe is not None:
        recipe = mistake.recipe(recipe)
    size = checkpoint.configuration.input_size
    return np.concatenate([preprocess(read_image(path), recipe, size=size) for path in pictures])


def _unpermuted(name: str, values: Values, features: tuple[int, ...]) -> Values:
    if name != "fc1.weight":
        return values
    channels, height, width = features
    # (out, C * H * W) taken for (out, H * W * C)
    wrong = values.reshape(-1, height, width, channels)
    return wrong.transpose(0, 3, 1, 2).reshape(values.shape)


def _transposed(name: str, values: Values, features: tuple[int, ...]) -> Values:
    del name, features
    return values.transpose(0, 1, 3, 2) if values.ndim == 4 else values


def _swapped(layer: str, first: int, second: int) -> Reweight:
    """Outputs of a layer change places, and what reads them does not follow."""

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
                "fc1's inputs are taken in the order height, width, channel",
                layer="fc1",
                shown="fc1",
                deviations={"tiny": 9.91e6, "D": 1.30e6},
                reweight=_unpermuted,
            ),
            Mistake(
                "kernels transposed",
                "every kernel has its height and width changed round",
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
                "every pooling takes the average instead of the maximum",
                layer="block1_pool",
                shown="block1_pool",
                deviations={"tiny": 2.18e7, "D": 2.18e7},
            ),
            Mistake(
                "classes swapped",
                "classes 3 and 7 have changed places",
                layer="predictions",
                shown="predictions",
                deviations={"tiny": 1.30e7, "D": 6.28e5},
                reweight=_swapped("predictions", 3, 7),
            ),
            Mistake(
                "channels swapped",
                "channels 2 and 5 of block4_conv2 have changed places, and what reads them has not",
                layer="block4_conv2",
                shown="block4_conv2",
                deviations={"tiny": 1.73e7, "D": 2.46e6},
                reweight=_swapped("block4_conv2", 2, 5),
            ),
            Mistake(
                "softmax",
                "probabilities are given as logits",
                layer="predictions",
                shown="predictions",
                deviations={"tiny": 8.46e6, "D": 7.64e5},
            ),
            Mistake(
                "BGR",
                "blue, green, red where the weights want red, green, blue",
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
                "block2_conv2's weights were stored in float16 once",
                layer="block2_conv2",
                shown="block2_conv2",
                deviations={"tiny": 4.95e3, "D": 1.49e3},
                reweight=_halved,
            ),
            Mistake(
                "padding on one side",
                "block2_conv1 is padded by two below and to the right instead of by one all round",
                layer="block2_conv1",
                shown="block2_conv1",
                deviations={"tiny": 1.28e8, "D": 1.29e7},
            ),
            Mistake(
                "dropout left on",
                "dropout works as in training",
                layer="fc2",
                shown="fc2",
                deviations={"tiny": 1.66e7, "D": 3.69e6},
                tolerance=MASKED,
            ),
        )
    }
)
