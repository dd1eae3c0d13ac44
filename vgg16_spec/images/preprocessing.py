"""From a picture to the network's input: recipes as records, and one function.

Resizing and cropping are done on 8-bit pixels by Pillow, as in both published recipes, and the
arithmetic in float32, in the order that the published code has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.layouts import contiguous, nhwc_to_nchw

Layout = Literal["nchw", "nhwc"]

# How much longer one side may be than the other: at 100 the resized picture takes 20 MB.
_LONGEST_SIDES: Final = 100
# What a message expects where a picture is missing or none.
PICTURE: Final = "a picture (JPEG, PNG, WebP, …)"


@dataclass(frozen=True)
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
    resize: int
    crop: int
    resample: str
    channels: Literal["RGB", "BGR"]
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
                resize=256,
                crop=224,
                resample="BILINEAR",
                channels="RGB",
                scale=255.0,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
            ),
            # torchvision: VGG16_Weights.IMAGENET1K_FEATURES.transforms()
            Recipe(
                name="torchvision-features",
                resize=256,
                crop=224,
                resample="BILINEAR",
                channels="RGB",
                scale=255.0,
                mean=(0.48235, 0.45882, 0.40784),
                std=(1 / 255, 1 / 255, 1 / 255),
            ),
            # Keras: keras.applications.vgg16.preprocess_input, which is the authors' Caffe model's
            # arithmetic. It leaves the size to its caller; 256 and 224 are section 3.2 of the paper
            # (Q = 256) with a single centre crop.
            Recipe(
                name="caffe",
                resize=256,
                crop=224,
                resample="BILINEAR",
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


def preprocess(
    image: Image.Image | NDArray[np.uint8],
    recipe: Recipe,
    *,
    size: int | None = None,
    layout: Layout = "nchw",
) -> NDArray[np.float32]:
    """One picture as the network's input, a batch of one; the picture is not changed.

    Args:
        image: a PIL image of any mode, or a uint8 array (H, W, 3) in RGB order.
        recipe: one of ``RECIPES``.
        size: height and width of the result in pixels; the recipe's ``crop`` unless given. The
            resized shorter side keeps the recipe's proportion to it.
        layout: ``nchw`` for (1, 3, size, size), ``nhwc`` for (1, size, size, 3).

    Raises ``ValueError`` for an array of another type or shape.
    """
    return normalise(pixels(image, recipe, size=size), recipe, layout=layout)


def pixels(
    image: Image.Image | NDArray[np.uint8],
    recipe: Recipe,
    *,
    size: int | None = None,
    crop: bool = True,
) -> NDArray[np.uint8]:
    """One picture resized and cropped as the recipe says, before its arithmetic.

    Without ``crop`` only resized, (1, H, W, 3) with the shorter side that `resized_side`
    gives. The other arguments and the errors are those of `preprocess`. Returns
    (1, size, size, 3), RGB.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
            raise ValueError(
                f"received a {image.dtype} array of shape {image.shape}, "
                "expected a uint8 array of shape (height, width, 3)"
            )
        image = Image.fromarray(image)
    size = size or recipe.crop
    resized = _resize(image.convert("RGB"), resized_side(recipe, size), recipe.resample)
    return np.asarray(_centre_crop(resized, size) if crop else resized)[np.newaxis]


def resized_side(recipe: Recipe, size: int) -> int:
    """A picture's shorter side in pixels before a crop of ``size`` pixels is cut out of it."""
    return recipe.resize * size // recipe.crop


def normalise(
    pixels: NDArray[np.uint8] | NDArray[np.float32], recipe: Recipe, *, layout: Layout = "nchw"
) -> NDArray[np.float32]:
    """The recipe's arithmetic alone, on pixels that have their final size already.

    Args:
        pixels: (N, H, W, 3) in RGB order, 0..255; not changed.
        recipe: one of ``RECIPES``.
        layout: of the result, (N, 3, H, W) or (N, H, W, 3).
    """
    # A new array: the operations below are in place, and the caller's pixels stay as they are.
    values = np.array(pixels, np.float32)
    if recipe.channels == "BGR":
        values = values[..., ::-1]
    values /= np.float32(recipe.scale)
    values -= np.array(recipe.mean, np.float32)
    values /= np.array(recipe.std, np.float32)
    return contiguous(nhwc_to_nchw(values) if layout == "nchw" else values)


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """A picture file in RGB, turned upright where its EXIF data say so.

    Grey values of 16 bits become 8 bits by their upper half.

    Raises ``BadInput`` for a file that is missing, truncated, or no picture that Pillow can read,
    for pixels without a fixed range (32 bits, floating point), and for a picture so long that its
    resized form would not fit in memory.
    """
    path = require_file(path, PICTURE)
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            image.load()
    except UnidentifiedImageError as error:
        raise BadInput(path, "not a picture", PICTURE) from error
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise BadInput(path, f"cannot be read ({error})", PICTURE) from error
    if image.mode in ("I", "F"):
        raise BadInput(path, f"has pixels of mode {image.mode}, which have no range", PICTURE)
    if max(image.size) > _LONGEST_SIDES * min(image.size):
        problem = f"is {image.width}×{image.height} pixels"
        raise BadInput(path, problem, f"sides within a factor of {_LONGEST_SIDES}")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _resize(image: Image.Image, shorter: int, resample: str) -> Image.Image:
    """Resize to the given shorter side; the longer one is rounded down, as torchvision does it."""
    width, height = image.size
    if width <= height:
        target = (shorter, int(shorter * height / width))
    else:
        target = (int(shorter * width / height), shorter)
    return image.resize(target, Image.Resampling[resample])


def _centre_crop(image: Image.Image, size: int) -> Image.Image:
    """Cut the centre; halves are rounded to even, as torchvision does it."""
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))
