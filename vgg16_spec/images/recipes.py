"""How pictures were prepared for each set of weights: one record each."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from vgg16_spec.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the pictures were prepared that a set of weights was trained and measured with.

    Attributes:
        name: what a checkpoint's metadata call it.
        resize: the shorter side after resizing, in pixels, for a crop of ``crop`` pixels.
        crop: the side of the square cut from the centre, in pixels.
        resample: Pillow's name of the resampling filter.
        channels: the order of the channels in the input.
        scale: what 0..255 pixel values are divided by, before the mean is subtracted.
        mean: subtracted from each channel, in the order of ``channels``.
        std: what each channel is divided by at the end, in the order of ``channels``.
    """

    name: str
    resize: int = 256
    crop: int = 224
    resample: str = "BILINEAR"
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


RECIPES: Final = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            # torchvision: VGG16_Weights.IMAGENET1K_V1.transforms()
            Recipe(
                name="torchvision",
                scale=255.0,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
            ),
            # torchvision: VGG16_Weights.IMAGENET1K_FEATURES.transforms()
            Recipe(
                name="torchvision-features",
                scale=255.0,
                mean=(0.48235, 0.45882, 0.40784),
                std=(1 / 255, 1 / 255, 1 / 255),
            ),
            # Keras: keras.applications.vgg16.preprocess_input, which is the authors' Caffe model's
            # arithmetic. It leaves the size to its caller; 256 and 224 are section 3.2 of the paper
            # (Q = 256) with a single centre crop.
            Recipe(
                name="caffe",
                channels="BGR",
                scale=1.0,
                mean=(103.939, 116.779, 123.68),
                std=(1.0, 1.0, 1.0),
            ),
        )
    }
)


def recipe_named(name: str, label: str) -> Recipe:
    """The recipe of that name, which is that of ``label``. Raises ``BadInput`` for another name."""
    if name not in RECIPES:
        raise BadInput(label, f"its recipe is {name!r}", f"one of {', '.join(RECIPES)}")
    return RECIPES[name]


def resized_side(recipe: Recipe, size: int) -> int:
    """A picture's shorter side in pixels before a crop of ``size`` pixels is cut out of it."""
    return recipe.resize * size // recipe.crop
