"""From a picture to the network's input, by a recipe.

Resizing and cropping are done on 8-bit pixels by Pillow, as in both published recipes, and the
arithmetic in float32, in the order that the published code has it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.images.recipes import RECIPES as RECIPES
from vgg16_spec.images.recipes import Recipe as Recipe
from vgg16_spec.images.recipes import recipe_named as recipe_named
from vgg16_spec.images.recipes import resized_side as resized_side
from vgg16_spec.layouts import contiguous, nhwc_to_nchw

Layout = Literal["nchw", "nhwc"]

# How much longer one side may be than the other: at 100 the resized picture takes 20 MB.
_LONGEST_SIDES: Final = 100
# Pillow's names of the formats that photographs come in. Others are documents, or are read by other
# programs: for PostScript Pillow starts Ghostscript.
FORMATS: Final = (
    *("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF"),
    "WEBP",
)
# More than most cameras' sensors have; decoding takes up to 16 bytes for each. A file of 34 bytes
# may claim 268 million.
MAX_PIXELS: Final = "VGG16_MAX_PIXELS"
_MOST_PIXELS: Final = 64_000_000
# Fewer of a format that takes more: up to 25 bytes for each. That is a gigabyte either way.
_MOST_PIXELS_OF: Final = MappingProxyType({"JPEG2000": 40_000_000})
# As many digits as no picture needs.
_NUMBER: Final = re.compile("0*[1-9][0-9]{0,18}")
# TIFF's tags TileWidth and TileLength.
_TILE_SIDES: Final = (322, 323)
_LIMIT_LOCK: Final = Lock()
# What a message expects where a picture is missing or none.
PICTURE: Final = "a picture (JPEG, PNG, WebP, …)"


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
    resized = resize(image, resized_side(recipe, size), recipe.resample)
    return np.asarray(_centre_crop(resized, size) if crop else resized)[np.newaxis]


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


def read_image(source: str | os.PathLike[str] | bytes, *, label: str = "") -> Image.Image:
    """A picture in RGB, turned upright where its EXIF data say so.

    Grey values of 16 bits become 8 bits by their upper half. ``VGG16_MAX_PIXELS`` is the number of
    pixels that a picture may have; 64 million where it is not set, and 40 of JPEG 2000.

    Args:
        source: a file's path, or the bytes of one.
        label: what messages call it; the path unless given.

    Raises ``BadInput`` for a file that is missing, truncated, or no picture of a format in
    `FORMATS`, for pixels without a fixed range (32 bits, floating point), for too many pixels, and
    for a picture so long that its resized form would not fit in memory.
    """
    content = source if isinstance(source, bytes) else require_file(source, PICTURE)
    label = _called(content, label)
    try:
        with opened_image(content, label) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except BadInput:
        raise
    except UnidentifiedImageError as error:
        raise BadInput(label, "not a picture", PICTURE) from error
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise BadInput(label, f"cannot be read ({error})", PICTURE) from error
    if image.mode in ("I", "F"):
        raise BadInput(label, f"has pixels of mode {image.mode}, which have no range", PICTURE)
    if max(image.size) > _LONGEST_SIDES * min(image.size):
        problem = f"is {image.width}×{image.height} pixels"
        raise BadInput(label, problem, f"sides within a factor of {_LONGEST_SIDES}")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return _rgb(image)


def most_pixels(kind: str = "") -> int:
    """How many pixels a picture of one of `FORMATS` may have, as far as that matters.

    Raises ``BadInput`` for a setting that is no number.
    """
    setting = os.environ.get(MAX_PIXELS, "")
    if setting and not _NUMBER.fullmatch(setting):
        raise BadInput(MAX_PIXELS, f"is {setting!r}", "a number of pixels")
    return int(setting or _MOST_PIXELS_OF.get(kind, _MOST_PIXELS))


@contextmanager
def opened_image(source: Path | bytes, label: str = "") -> Iterator[Image.Image]:
    """A picture of one of `FORMATS` whose pixels are not decoded yet.

    ``source`` and ``label`` are as in `read_image`.

    Raises ``BadInput`` for too many pixels, whatever limit of its own Pillow has, and what Pillow
    does for other files.
    """
    most_pixels()  # a setting that is no number is refused before the file is looked at
    label = _called(source, label)
    file = BytesIO(source) if isinstance(source, bytes) else source
    Image.init()  # fills OPEN, which lacks what this Pillow was built without
    formats: list[str] = [name for name in FORMATS if name in Image.OPEN]
    with _without_pillows_limit(), Image.open(file, formats=formats) as image:
        most = most_pixels(image.format or "")
        sizes = {"is": image.size, "has tiles of": _tile_size(image)}
        for what, (width, height) in sizes.items():
            if width * height > most:
                problem = f"{what} {width}×{height} pixels"
                raise BadInput(label, problem, f"at most {most:,}, or a larger {MAX_PIXELS}")
        yield image


def _called(source: Path | bytes, label: str) -> str:
    return label or ("picture" if isinstance(source, bytes) else os.fspath(source))


class _PillowsLimit:
    """Pillow's own limit of pixels, which is the whole process's, while threads lift it."""

    lifted = 0
    limit: int | None = None


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's own limit: it is back when the last thread that lifted it is done."""
    with _LIMIT_LOCK:
        if not _PillowsLimit.lifted:
            _PillowsLimit.limit = Image.MAX_IMAGE_PIXELS
        _PillowsLimit.lifted += 1
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _LIMIT_LOCK:
            _PillowsLimit.lifted -= 1
            if not _PillowsLimit.lifted:
                Image.MAX_IMAGE_PIXELS = _PillowsLimit.limit


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """How large a TIFF's tiles are, which are decoded whole; zeros for any other picture."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0, 0
    width, height = (image.tag_v2.get(tag, 0) for tag in _TILE_SIDES)
    if not isinstance(width, int) or not isinstance(height, int):
        raise ValueError("the size of its tiles is no number")
    return width, height


def _rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB; itself where it is, since a copy of a large one takes much memory."""
    return image if image.mode == "RGB" else image.convert("RGB")


def resize(image: Image.Image, shorter: int, resample: str) -> Image.Image:
    """A picture of any mode in RGB, resized so that its shorter side has so many pixels.

    The longer one is rounded down, as torchvision does it. ``resample`` is Pillow's name of the
    filter.
    """
    image = _rgb(image)
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
