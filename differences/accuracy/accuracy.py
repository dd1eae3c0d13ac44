"""One data set, one set of weights, and what changes the accuracy all the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.accuracy import counting, decoding, labelling, narrow, pictures, resizing
from differences.accuracy.narrow import Effect, Yardstick
from differences.accuracy.pictures import Pixels
from differences.harness.experiment import Claims, Finding, Table
from vgg16_spec.images.preprocessing import pixels, read_image

TITLE: Final = "Why your accuracy may differ"
RULE: Final = (
    "Compare accuracies only where the decoder, the filter, both sizes, the crop and the order of "
    "the labels are known to be the same, and judge a difference by the images that it is."
)
PACKAGES: Final = ("torchvision", "timm", "pillow", "opencv-python-headless")

_Effects = dict[str, Effect]
_COLUMNS: Final = (
    *("changed", "pictures with other pixels", "pixels, rms in levels of 255"),
    *("logits, in % of their spread", "logits, in roundings", "other top class"),
)
_TENSORFLOW: Final = "TensorFlow instead of PyTorch"
_SINGLE: Final = "each picture in a batch of its own"
_BFLOAT16: Final = "bfloat16"
_DRAFT: Final = "Pillow, `draft('RGB', (256, 256))`"
_EXIF: Final = "EXIF's orientation, not followed by"
_ALONE: Final = "Pillow alone"
_CMYK: Final = "CMYK, read by"
_NEAREST: Final = "`keras.utils.load_img`, `interpolation='nearest'` (default)"
# A change of pixels outweighs all rounding by more than this.
_FAR: Final = 100


def run() -> Finding:
    """Prepare the same pictures in every way, and run one network on them all."""
    files = pictures.files()
    decoded = [decoding.pillow(file) for file in files]
    recipe = narrow.checkpoint().recipe
    yardstick = narrow.yardstick(np.concatenate([pixels(each, recipe) for each in decoded]))
    reading = _reading(files, yardstick)
    filters = _effects(yardstick, decoded, resizing.filters()) | _keras(files, yardstick)
    sizes = _effects(yardstick, decoded, resizing.geometries())
    same = _arithmetic(yardstick)
    official = resizing.published(decoded)
    tables = {
        "Reading the JPEG": reading,
        "Resizing: filter and library": filters,
        "Resizing: sizes and crop": sizes,
        "The same pixels, computed otherwise": same,
    }
    measured = Finding(
        {
            "pictures": len(files),
            "of these with a shorter side of 512 pixels or more": _large(decoded),
            "spread of the logits between pictures": (yardstick.spread, "standard deviation"),
            "rounding of the logits": (yardstick.rounding, "predicted standard deviation"),
            "different top classes": len(set(yardstick.logits.argmax(axis=1).tolist())),
        },
        {
            "The code that torchvision and timm publish prepares exactly the pixels that this "
            "project does.": all(
                np.array_equal(each, yardstick.pixels) for each in official.values()
            ),
            **_reading_claims(reading, len(files), _large(decoded)),
            **_pixel_claims(reading, filters, sizes, same),
        },
        tables=tuple(
            Table(title, _COLUMNS, {name: _cells(each, len(files)) for name, each in rows.items()})
            for title, rows in tables.items()
        ),
    )
    return measured | labelling.finding() | counting.finding()


def _cells(effect: Effect, of: int) -> tuple[Any, ...]:
    return (
        f"{effect.pictures} of {of}",
        effect.rms,
        100 * effect.spread,
        effect.roundings,
        f"{effect.answers} of {of}",
    )


def _large(decoded: Sequence[Pixels]) -> int:
    return sum(min(each.shape[:2]) >= 2 * resizing.SHORTER for each in decoded)


def _effects(
    yardstick: Yardstick,
    decoded: Sequence[Pixels],
    preparations: dict[str, resizing.Preparation],
) -> _Effects:
    return {
        name: yardstick.effect(resizing.prepared(decoded, preparation))
        for name, preparation in preparations.items()
    }


def _reading(files: Sequence[bytes], yardstick: Yardstick) -> _Effects:
    """Every reader on the files, and on the same pictures turned by EXIF and in CMYK."""
    readers = decoding.readers()

    def read(reader: decoding.Reader, files: Sequence[bytes]) -> NDArray[Any]:
        return resizing.prepared([reader(file) for file in files], resizing.cropping())

    def effects(
        some: dict[str, decoding.Reader], files: Sequence[bytes], than: Yardstick
    ) -> _Effects:
        return {name: than.effect(read(reader, files)) for name, reader in some.items()}

    found = effects(readers | {_DRAFT: decoding.drafted}, files, yardstick)
    for quality in (95, 75):
        again = partial(decoding.saved_again, quality=quality)
        found |= effects({f"saved again as JPEG of quality {quality}": again}, files, yardstick)
    turned = [pictures.turned(file) for file in files]
    upright = yardstick.of(read(lambda file: np.array(read_image(file)), turned))
    printed = [pictures.in_cmyk(file) for file in files]
    few = {name: readers[name] for name in readers if name != decoding.NOT_FANCY}
    sideways = effects({_ALONE: decoding.pillow} | few, turned, upright)
    cmyk = effects(few, printed, yardstick.of(read(decoding.pillow, printed)))
    found |= {f"{_EXIF} {name}": effect for name, effect in sideways.items()}
    return found | {f"{_CMYK} {name}": effect for name, effect in cmyk.items()}


def _keras(files: Sequence[bytes], yardstick: Yardstick) -> _Effects:
    """Keras's own ways from files to 224 by 224 pixels."""
    loaded: dict[str, dict[str, Any]] = {
        _NEAREST: {},
        "`keras.utils.load_img`, `bilinear`": {"interpolation": "bilinear"},
        "`keras.utils.load_img`, `bilinear`, `keep_aspect_ratio=True`": {
            "interpolation": "bilinear",
            "keep_aspect_ratio": True,
        },
    }
    found = {
        name: yardstick.effect(np.stack([decoding.loaded(file, **options) for file in files]))
        for name, options in loaded.items()
    }
    folder = yardstick.effect(decoding.from_folder(files))
    return found | {"`keras.utils.image_dataset_from_directory` (default)": folder}


def _arithmetic(yardstick: Yardstick) -> _Effects:
    logits: dict[str, NDArray[np.float32]] = {
        _SINGLE: narrow.logits(yardstick.pixels, batch=1),
        _TENSORFLOW: narrow.tensorflow_logits(yardstick.pixels),
        _BFLOAT16: narrow.logits(yardstick.pixels, "bfloat16"),
    }
    return {name: yardstick.compare(yardstick.pixels, each) for name, each in logits.items()}


def _reading_claims(reading: _Effects, count: int, large: int) -> Claims:
    exact = [
        reading[name]
        for name in (decoding.OPENCV, decoding.TORCHVISION, decoding.ACCURATE)
        if name in reading
    ]
    sideways = [reading[f"{_EXIF} {name}"] for name in (_ALONE, decoding.ACCURATE)]
    return {
        "Pillow, OpenCV, torchvision and TensorFlow's accurate transform read the same, to a tenth "
        "of a level.": all(each.rms < 0.1 for each in exact),
        "TensorFlow's default reads other pixels in every picture.": (
            reading[decoding.TENSORFLOW].pictures == count
        ),
        "`fancy_upscaling=False` changes the pictures with colours at half resolution, and no "
        "others.": reading[decoding.NOT_FANCY].pictures == count // 2,
        "Pillow's `draft` changes the pictures that are at least twice as large as is asked for, "
        "and no others.": reading[_DRAFT].pictures == large,
        "OpenCV turns a picture as EXIF says; Pillow alone and TensorFlow do not.": (
            reading[f"{_EXIF} {decoding.OPENCV}"].rms < 0.1
            and all(each.pictures == count for each in sideways)
        ),
    }


def _pixel_claims(reading: _Effects, filters: _Effects, sizes: _Effects, same: _Effects) -> Claims:
    every = (reading | filters | sizes).values()
    rounding = [same[name] for name in (_SINGLE, _TENSORFLOW)]
    decoder = reading[decoding.TENSORFLOW].spread
    plain = [filters[name].spread for name in resizing.PLAIN]
    antialiased = [filters[name].spread for name in resizing.ANTIALIASED]
    lost = [sizes[name].spread for name in resizing.SHAPE_LOST]
    ours = [each.spread for name, each in filters.items() if not name.startswith("`keras")]
    return {
        "Given the same pixels, TensorFlow and PyTorch, and batches of other sizes, differ by no "
        "more than rounding, and change no top class.": all(
            each.roundings < 1 and not each.answers for each in rounding
        ),
        "Whatever changes the pixels moves the logits by more than a hundred roundings.": (
            min(each.roundings for each in every if each.pictures) > _FAR
        ),
        "Without antialiasing, a bilinear resize moves the logits at least five times as much as "
        "another library's with it.": min(plain) > 5 * max(antialiased),
        "A crop that begins half a pixel elsewhere moves the logits more than TensorFlow's decoder "
        "does, and bfloat16 less.": (
            same[_BFLOAT16].spread < decoder < min(sizes[name].spread for name in resizing.HALVES)
        ),
        "A picture that loses its shape moves the logits more than any filter in place of "
        "another.": min(lost) > max(ours),
    }
