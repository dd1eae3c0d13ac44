"""What four decoders make of one JPEG file."""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from differences.harness import answers
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess

TITLE: Final = "JPEG decoders"
RULE: Final = (
    "Decode with one library on both sides of a comparison, and ask TensorFlow's for "
    "dct_method='INTEGER_ACCURATE'."
)

Pixels = NDArray[np.uint8]
# Which file -> Pillow's pixels (H, W, 3), and those of the others by name.
Files = dict[str, tuple[Pixels, dict[str, Pixels]]]
_TENSORFLOW: Final = "TensorFlow, as it comes"
_ACCURATE: Final = "TensorFlow, INTEGER_ACCURATE"
_QUALITY: Final = 90


def run() -> Finding:
    """Decode the shipped JPEG, and the same with its colours at half the resolution."""
    torch, _ = frameworks()
    shipped = next(p for p in PHOTOGRAPHS if p.path.suffix == ".jpg").path.read_bytes()
    pil, found = _decoded(torch, shipped)
    moved = answers.change(_logits(torch, pil), _logits(torch, found[_TENSORFLOW]))
    lossless = io.BytesIO()
    Image.fromarray(pil).save(lossless, "PNG")
    same = all(np.array_equal(pil, each) for each in _pngs(lossless.getvalue()))
    # OpenCV's own order.
    bgr = found["OpenCV"][..., ::-1]
    files = {"": (pil, found), ", colours at half resolution": _decoded(torch, _halved(shipped))}
    figures = [
        Figure(f"{name}{which}: {what}", value, "levels from Pillow's")
        for which, (right, decoded) in files.items()
        for name, each in decoded.items()
        for what, value in (("at most", _most(right, each)), ("rms", _rms(right, each)))
    ]
    return Finding(
        (
            *figures,
            Figure("OpenCV's channels taken for RGB: rms", _rms(pil, bgr), "levels from Pillow's"),
            Figure("logits change by, TensorFlow's pixels for Pillow's", moved, "%"),
        ),
        _claims(files, bgr, same),
    )


def _claims(files: Files, bgr: Pixels, same: bool) -> tuple[Claim, ...]:
    pil, found = files[""]
    rough = [name for name in found if name != _TENSORFLOW]
    return (
        Claim(
            "A PNG is the same pixels to Pillow, OpenCV and TensorFlow.",
            same,
        ),
        Claim(
            "Pillow, torchvision, OpenCV and TensorFlow's accurate transform are within one "
            "level of each other, which is one rounding.",
            max(_most(pil, found[name]) for name in rough) <= 1,
        ),
        Claim(
            "TensorFlow as it comes is the furthest from Pillow on both files.",
            all(
                _rms(right, decoded[_TENSORFLOW])
                >= max(_rms(right, decoded[name]) for name in rough)
                for right, decoded in files.values()
            ),
        ),
        Claim(
            "OpenCV's order is BGR: taken for RGB, its pixels are further from Pillow's than "
            "any decoder's.",
            _rms(pil, bgr) > max(_rms(pil, each) for each in found.values()),
        ),
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
    # On its way out of torchvision: there while it lasts.
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
    """The picture again with a colour value for every four pixels, as cameras and the web do it."""
    written = io.BytesIO()
    Image.fromarray(_pillow(file)).save(written, "JPEG", quality=_QUALITY, subsampling="4:2:0")
    return written.getvalue()


def _logits(torch: Any, pixels: Pixels) -> NDArray[np.float32]:
    return answers.logits(torch, preprocess(pixels, RECIPES["torchvision"], size=64))


def _most(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).max())


def _rms(one: Pixels, other: Pixels) -> float:
    return answers.rms(one.astype(int) - other)
