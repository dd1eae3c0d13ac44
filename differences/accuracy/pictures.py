"""A few dozen JPEG files made from the photographs that ship with the project.

Half of them are about as large as ImageNet's, half as a small camera's: four pictures side by side,
since an enlarged photograph has no detail that a resize could lose.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import read_image

Pixels = NDArray[np.uint8]

COUNT: Final = 36
_SEED: Final = 0
# The shorter side in pixels: the photographs have 300 and 427, ImageNet's pictures mostly 375.
_SHORTEST: Final = 260
_ASPECTS: Final = (1, 1.6)
# Of a quarter of a large picture, whose shorter side is then more than twice the recipe's 256.
_COLLAGE: Final = {"width": (400, 450), "height": (260, 300)}
_QUALITIES: Final = (75, 98)
_SUBSAMPLINGS: Final = ("4:2:0", "4:4:4")
# The tag of EXIF that says how to turn a picture, and a quarter turn.
_ORIENTATION, _QUARTER = 0x0112, 6


def files() -> tuple[bytes, ...]:
    """The JPEG files, the same on every call; every second one has colours at half resolution."""
    draw = np.random.Generator(np.random.Philox(_SEED))
    photographs = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
    pictures = [_cut(photographs[i % 2], draw) for i in range(COUNT // 2)]
    pictures += [_collage(photographs, draw) for _ in range(COUNT - len(pictures))]
    return tuple(
        encoded(picture, int(draw.integers(*_QUALITIES)), _SUBSAMPLINGS[i % 2])
        for i, picture in enumerate(pictures)
    )


def encoded(
    picture: Image.Image, quality: int, subsampling: str = "4:2:0", **options: Any
) -> bytes:
    """A picture as a JPEG file."""
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=quality, subsampling=subsampling, **options)
    return written.getvalue()


def turned(file: bytes) -> bytes:
    """The same picture on its side, with the EXIF entry that says so."""
    with Image.open(io.BytesIO(file)) as opened:
        side = opened.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[_ORIENTATION] = _QUARTER
        return encoded(side, max(_QUALITIES), exif=exif)


def in_cmyk(file: bytes) -> bytes:
    """The same picture in the colours of a printer."""
    with Image.open(io.BytesIO(file)) as opened:
        return encoded(opened.convert("CMYK"), max(_QUALITIES))


def _cut(photograph: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A part of a photograph, one in two mirrored, one in two upright."""
    shorter = int(draw.integers(_SHORTEST, min(photograph.size)))
    longer = min(int(shorter * draw.uniform(*_ASPECTS)), max(photograph.size))
    upright, mirrored = draw.integers(2, size=2)
    width, height = (shorter, longer) if upright else (longer, shorter)
    height = min(height, photograph.height)
    part = _part(photograph, width, height, draw)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part


def _collage(photographs: list[Image.Image], draw: np.random.Generator) -> Image.Image:
    """Four parts of one size side by side."""
    width, height = (int(draw.integers(*_COLLAGE[side])) for side in ("width", "height"))
    collage = Image.new("RGB", (2 * width, 2 * height))
    for place in range(4):
        photograph = photographs[int(draw.integers(2))]
        part = _part(photograph, width, height, draw)
        collage.paste(part, (place % 2 * width, place // 2 * height))
    return collage


def _part(
    photograph: Image.Image, width: int, height: int, draw: np.random.Generator
) -> Image.Image:
    left = int(draw.integers(photograph.width - width + 1))
    top = int(draw.integers(photograph.height - height + 1))
    return photograph.crop((left, top, left + width, top + height))
