"""Four decoders on one JPEG file."""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from differences.harness import numbers, tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess

TITLE: Final = "JPEG decoders"
RULE: Final = (
    "Decode with the same library on both sides of a comparison, and set "
    "dct_method='INTEGER_ACCURATE' in TensorFlow."
)
PACKAGES: Final = ("torchvision", "pillow", "opencv-python-headless")

Pixels = NDArray[np.uint8]
_TENSORFLOW: Final = "TensorFlow, default"
_ACCURATE: Final = "TensorFlow, INTEGER_ACCURATE"
_QUALITY: Final = 90


def run() -> Finding:
    """Decode the shipped JPEG, and a copy with its colours at half the resolution."""
    torch, _ = frameworks()
    shipped = next(p for p in PHOTOGRAPHS if p.path.suffix == ".jpg").path.read_bytes()
    pil, found = _decoded(torch, shipped)
    moved = numbers.change(_logits(pil), _logits(found[_TENSORFLOW]))
    lossless = io.BytesIO()
    Image.fromarray(pil).save(lossless, "PNG")
    same = all(np.array_equal(pil, each) for each in _pngs(lossless.getvalue()))
    # OpenCV's own order.
    bgr = found["OpenCV"][..., ::-1]
    files = {"": (pil, found), ", colours at half resolution": _decoded(torch, _halved(shipped))}
    figures = {
        f"{name}{which}: {what}": (value, "levels from Pillow's")
        for which, (right, decoded) in files.items()
        for name, each in decoded.items()
        for what, value in (("at most", _most(right, each)), ("rms", _rms(right, each)))
    }
    rough = [name for name in found if name != _TENSORFLOW]
    return Finding(
        {
            **figures,
            "OpenCV's channels read as RGB: rms": (_rms(pil, bgr), "levels from Pillow's"),
            "logits change by, TensorFlow's pixels instead of Pillow's": (moved, "%"),
        },
        {
            "A PNG gives the same pixels in Pillow, OpenCV and TensorFlow.": same,
            "Pillow, torchvision, OpenCV and TensorFlow's accurate transform are within one "
            "level of each other, which is one rounding.": (
                max(_most(pil, found[name]) for name in rough) <= 1
            ),
            "TensorFlow's default differs most from Pillow on both files.": all(
                _rms(right, decoded[_TENSORFLOW])
                >= max(_rms(right, decoded[name]) for name in rough)
                for right, decoded in files.values()
            ),
            "OpenCV's channel order is BGR: read as RGB, its pixels differ more from Pillow's than "
            "any decoder's.": _rms(pil, bgr) > max(_rms(pil, each) for each in found.values()),
        },
    )


def _decoded(torch: Any, file: bytes) -> tuple[Pixels, dict[str, Pixels]]:
    """Pillow's pixels (H, W, 3), and those of the others by name."""
    import cv2
    import tensorflow as tf
    from torchvision import io as torchvision_io

    values = np.frombuffer(file, np.uint8)
    opencv = cv2.imdecode(values, cv2.IMREAD_COLOR)
    assert opencv is not None
    found = {
        "OpenCV": opencv[..., ::-1],
        _TENSORFLOW: tf.io.decode_jpeg(file, channels=3).numpy(),
        _ACCURATE: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE").numpy(),
    }
    # torchvision will remove it.
    if decode := getattr(torchvision_io, "decode_jpeg", None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found["torchvision"] = decode(torch.tensor(values)).permute(1, 2, 0).numpy()
    return _pillow(file), found


def _pngs(file: bytes) -> tuple[Pixels, ...]:
    import cv2
    import tensorflow as tf

    opencv = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    assert opencv is not None
    tensorflow = tf.io.decode_png(file, channels=3).numpy()
    return _pillow(file), np.asarray(opencv[..., ::-1], np.uint8), tensorflow


def _pillow(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as opened:
        return np.array(opened.convert("RGB"))


def _halved(file: bytes) -> bytes:
    """Encode the picture again with one colour value per four pixels, as cameras do."""
    written = io.BytesIO()
    Image.fromarray(_pillow(file)).save(written, "JPEG", quality=_QUALITY, subsampling="4:2:0")
    return written.getvalue()


def _logits(pixels: Pixels) -> NDArray[np.float32]:
    return tiny.logits(preprocess(pixels, RECIPES["torchvision"], size=64))


def _most(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).max())


def _rms(one: Pixels, other: Pixels) -> float:
    return numbers.rms(one.astype(int) - other)
