"""Readers of JPEG files, by name."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from differences.accuracy.pictures import Pixels
from differences.harness.frameworks import frameworks

# A file's bytes -> (H, W, 3), RGB.
Reader = Callable[[bytes], Pixels]

TENSORFLOW: Final = "TensorFlow, default"
ACCURATE: Final = "TensorFlow, `INTEGER_ACCURATE`"
NOT_FANCY: Final = "TensorFlow, `INTEGER_ACCURATE`, `fancy_upscaling=False`"
OPENCV: Final = "OpenCV"
TORCHVISION: Final = "torchvision, `decode_jpeg`"


def readers() -> dict[str, Reader]:
    """The readers besides Pillow's; torchvision's as long as it has one."""
    torch, _ = frameworks()
    import cv2
    import tensorflow as tf
    from torchvision import io as torchvision_io

    def tensorflow(**options: Any) -> Reader:
        return lambda file: np.asarray(tf.io.decode_jpeg(file, channels=3, **options))

    def opencv(file: bytes) -> Pixels:
        found = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        assert found is not None
        return np.asarray(found[..., ::-1], np.uint8)  # BGR -> RGB

    found: dict[str, Reader] = {OPENCV: opencv}
    if decode := getattr(torchvision_io, "decode_jpeg", None):

        def torchvision(file: bytes) -> Pixels:
            values = torch.frombuffer(bytearray(file), dtype=torch.uint8)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # it is to be removed
                decoded = decode(values, mode=torchvision_io.ImageReadMode.RGB)
            return np.asarray(decoded.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)

        found[TORCHVISION] = torchvision
    accurate = {"dct_method": "INTEGER_ACCURATE"}
    return found | {
        ACCURATE: tensorflow(**accurate),
        NOT_FANCY: tensorflow(**accurate, fancy_upscaling=False),
        TENSORFLOW: tensorflow(),
    }


def pillow(file: bytes) -> Pixels:
    """Pillow's pixels, turned only where the file itself is."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.array(opened.convert("RGB"))


def drafted(file: bytes) -> Pixels:
    """Pillow's pixels where ``draft`` may have the decoder halve the picture."""
    with Image.open(io.BytesIO(file)) as opened:
        opened.draft("RGB", (256, 256))
        return np.array(opened.convert("RGB"))


def saved_again(file: bytes, quality: int) -> Pixels:
    """Pillow's pixels of the picture after it was written as JPEG once more."""
    written = io.BytesIO()
    with Image.open(io.BytesIO(file)) as opened:
        opened.save(written, "JPEG", quality=quality)
    return pillow(written.getvalue())


def from_folder(files: Sequence[bytes]) -> Pixels:
    """What ``keras.utils.image_dataset_from_directory`` makes of files, (N, 224, 224, 3)."""
    _, keras = frameworks()
    with tempfile.TemporaryDirectory() as folder:
        for place, file in enumerate(files):
            (Path(folder) / f"{place:04}.jpg").write_bytes(file)
        batches = keras.utils.image_dataset_from_directory(
            folder, labels=None, image_size=(224, 224), shuffle=False, verbose=False
        )
        return np.concatenate([np.asarray(batch) for batch in batches])


def loaded(file: bytes, **options: Any) -> Pixels:
    """What ``keras.utils.load_img`` makes of a file, (224, 224, 3)."""
    _, keras = frameworks()
    return np.asarray(
        keras.utils.load_img(io.BytesIO(file), target_size=(224, 224), **options), np.uint8
    )
