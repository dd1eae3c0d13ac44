"""From a decoded picture to the network's 224 by 224 pixels, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from differences.accuracy.pictures import Pixels
from differences.harness.frameworks import frameworks

# (H, W, 3) -> (224, 224, 3), 0 to 255, rounded to whole levels only if the library does.
Preparation = Callable[[Pixels], NDArray[Any]]
# (H, W, 3), height, width -> (height, width, 3)
_Resize = Callable[[Pixels, int, int], NDArray[Any]]

ANTIALIASED: Final = (
    "torchvision on tensors, `antialias=True`",
    "TensorFlow, `antialias=True`",
)
PLAIN: Final = (
    "OpenCV, `INTER_LINEAR` (default)",
    "TensorFlow, `tf.image.resize` (default)",
    "torchvision on tensors, `antialias=False`",
)
HALVES: Final = (
    "half a pixel of the crop's offset rounded up",
    "half a pixel of the crop's offset rounded down",
)
SHAPE_LOST: Final = (
    "resized to 256 × 256 (shape lost), centre crop of 224",
    "resized straight to 224 × 224 (shape lost)",
)
# Of the shorter side that the crop keeps, besides 0.875; 1 has no margin. timm rounds down.
_FRACTIONS: Final = (0.8, 0.9, 0.95, 1)
CROP: Final = 224
SHORTER: Final = 256
_BILINEAR: Final = Image.Resampling.BILINEAR


def filters() -> dict[str, Preparation]:
    """The recipe with another filter or library: shorter side 256, centre crop of 224."""
    torch, _ = frameworks()
    import cv2
    import tensorflow as tf
    from torchvision.transforms.v2 import functional

    def torchvision(antialias: bool) -> _Resize:
        def resize(pixels: Pixels, height: int, width: int) -> NDArray[Any]:
            tensor = torch.tensor(pixels).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
            found = functional.resize(tensor, [height, width], antialias=antialias)
            return np.asarray(found.permute(1, 2, 0).numpy())

        return resize

    def tensorflow(antialias: bool) -> _Resize:
        return lambda pixels, height, width: np.asarray(
            tf.image.resize(pixels, (height, width), antialias=antialias)
        )

    def opencv(kind: int) -> _Resize:
        return lambda pixels, height, width: cv2.resize(pixels, (width, height), interpolation=kind)

    resizes: dict[str, _Resize] = {
        ANTIALIASED[0]: torchvision(True),
        ANTIALIASED[1]: tensorflow(True),
        "Pillow, `HAMMING`": pillow(Image.Resampling.HAMMING),
        "Pillow, `BICUBIC`": pillow(Image.Resampling.BICUBIC),
        "Pillow, `LANCZOS`": pillow(Image.Resampling.LANCZOS),
        "Pillow, `NEAREST`": pillow(Image.Resampling.NEAREST),
        "OpenCV, `INTER_AREA`": opencv(cv2.INTER_AREA),
        PLAIN[0]: opencv(cv2.INTER_LINEAR),
        "OpenCV, `INTER_CUBIC`": opencv(cv2.INTER_CUBIC),
        PLAIN[1]: tensorflow(False),
        PLAIN[2]: torchvision(False),
    }
    return {name: cropping(resize=resize) for name, resize in resizes.items()}


def geometries() -> dict[str, Preparation]:
    """Pillow's antialiased bilinear filter, but other sizes and other cuts."""
    return {
        **{
            f"crop fraction {fraction:g}: shorter side {math.floor(CROP / fraction)}": (
                cropping(math.floor(CROP / fraction))
            )
            for fraction in _FRACTIONS
        },
        "longer side rounded up, not down": cropping(longer=math.ceil),
        "longer side rounded to the nearest": cropping(longer=round),
        HALVES[0]: cropping(offset=math.ceil),
        HALVES[1]: cropping(offset=math.floor),
        "crop one pixel further right and down": cropping(offset=lambda left: round(left) + 1),
        SHAPE_LOST[0]: _squashed_and_cropped,
        SHAPE_LOST[1]: _squashed,
        "87.5 % of both sides cut first, then resized to 224 × 224": _cut_and_squashed,
    }


def cropping(
    shorter: int = SHORTER,
    *,
    resize: _Resize | None = None,
    longer: Callable[[float], int] = int,
    offset: Callable[[float], int] = round,
) -> Preparation:
    """The recipe, in which one thing may be otherwise.

    Args:
        shorter: the shorter side after resizing.
        resize: Pillow's antialiased bilinear filter unless given.
        longer: how the longer side becomes a whole number.
        offset: how the crop's distance from the left and from the top does.
    """
    scale = resize or pillow(_BILINEAR)

    def prepare(pixels: Pixels) -> NDArray[Any]:
        least = min(pixels.shape[:2])
        height, width = (
            shorter if side == least else longer(shorter * side / least)
            for side in pixels.shape[:2]
        )
        top, left = (offset((side - CROP) / 2) for side in (height, width))
        # One pixel too far is a pixel that is not there, where there is no room.
        top, left = min(top, height - CROP), min(left, width - CROP)
        return scale(pixels, height, width)[top : top + CROP, left : left + CROP]

    return prepare


def pillow(kind: Image.Resampling) -> _Resize:
    """Pillow's resize by a filter, antialiased but for ``NEAREST``."""
    return lambda pixels, height, width: np.asarray(
        Image.fromarray(pixels).resize((width, height), kind)
    )


def prepared(pictures: Sequence[Pixels], preparation: Preparation) -> NDArray[Any]:
    """Every picture, (N, 224, 224, 3)."""
    return np.stack([preparation(each) for each in pictures])


def published(pictures: Sequence[Pixels]) -> dict[str, Pixels]:
    """The same pictures by the code that others publish: torchvision's and timm's."""
    frameworks()
    from timm.data.transforms_factory import create_transform
    from timm.models import get_pretrained_cfg
    from torchvision.models import VGG16_Weights
    from torchvision.transforms import functional

    preset = VGG16_Weights.IMAGENET1K_V1.transforms()
    config = get_pretrained_cfg("vgg16.tv_in1k")
    assert config is not None
    transform = create_transform(
        config.input_size,
        crop_pct=config.crop_pct,
        interpolation=config.interpolation,
        normalize=False,
    )

    def torchvision(picture: Image.Image) -> Pixels:
        resized = functional.resize(
            picture, preset.resize_size, preset.interpolation, antialias=preset.antialias
        )
        return np.asarray(functional.center_crop(resized, preset.crop_size))

    def timm(picture: Image.Image) -> Pixels:
        return np.asarray(transform(picture)).transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)

    found = {"torchvision": torchvision, "timm": timm}
    images = [Image.fromarray(each) for each in pictures]
    return {name: np.stack([of(image) for image in images]) for name, of in found.items()}


def _squashed(pixels: Pixels) -> NDArray[Any]:
    return pillow(_BILINEAR)(pixels, CROP, CROP)


def _squashed_and_cropped(pixels: Pixels) -> NDArray[Any]:
    edge = (SHORTER - CROP) // 2
    resized = pillow(_BILINEAR)(pixels, SHORTER, SHORTER)
    return resized[edge : edge + CROP, edge : edge + CROP]


def _cut_and_squashed(pixels: Pixels) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    top, left = (round(side / 16) for side in (height, width))  # an eighth in all
    return _squashed(np.ascontiguousarray(pixels[top : height - top, left : width - left]))
