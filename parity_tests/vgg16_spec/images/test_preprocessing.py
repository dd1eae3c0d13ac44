"""The recipes do what the published code does, and leave the caller's picture alone."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgg16_spec.errors import BadInput
from vgg16_spec.images import preprocessing
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import (
    RECIPES,
    Layout,
    Recipe,
    normalise,
    opened_image,
    preprocess,
    read_image,
)

TORCHVISION, CAFFE = RECIPES["torchvision"], RECIPES["caffe"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random pixels, (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_caffe_is_exactly_what_keras_does(layout: Layout) -> None:
    from keras.applications.vgg16 import preprocess_input

    pixels = np.stack([noise(9, 7, seed) for seed in range(2)])
    ours = normalise(pixels, CAFFE, layout=layout)
    if layout == "nhwc":
        theirs = preprocess_input(pixels.astype(np.float32), data_format="channels_last")
    else:
        first = pixels.astype(np.float32).transpose(0, 3, 1, 2).copy()
        theirs = preprocess_input(first, data_format="channels_first")
    assert ours.dtype == theirs.dtype == np.float32
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "picture",
    [
        *(pytest.param(read_image(photo.path), id=photo.file) for photo in PHOTOGRAPHS),
        pytest.param(Image.fromarray(noise(300, 301)), id="nearly square"),
        pytest.param(Image.fromarray(noise(640, 227)), id="upright"),
        pytest.param(Image.fromarray(noise(40, 61)), id="small"),
        pytest.param(Image.fromarray(noise(256, 256)), id="as wanted"),
    ],
)
@pytest.mark.parametrize(
    ("recipe", "member"),
    [("torchvision", "IMAGENET1K_V1"), ("torchvision-features", "IMAGENET1K_FEATURES")],
)
def test_torchvision_is_what_torchvision_does_within_one_rounding(
    picture: Image.Image, recipe: str, member: str
) -> None:
    from torchvision.models import VGG16_Weights

    theirs = VGG16_Weights[member].transforms()(picture)[np.newaxis].numpy()
    ours = preprocess(picture, RECIPES[recipe])
    assert ours.dtype == theirs.dtype == np.float32
    # The distance between neighbouring float32 numbers at each value: one rounding.
    assert np.all(np.abs(ours - theirs) <= np.spacing(np.abs(theirs)))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("kind", ["array", "image", "float pixels"])
def test_the_picture_is_not_changed(recipe: Recipe, kind: str) -> None:
    # Keras's preprocess_input changes a float array in place.
    pixels = noise(230, 260)
    if kind == "float pixels":
        batch = pixels[np.newaxis].astype(np.float32)
        before = batch.copy()
        normalise(batch, recipe)
        assert np.array_equal(batch, before)
        return
    before = pixels.copy()
    picture = pixels if kind == "array" else Image.fromarray(pixels)
    preprocess(picture, recipe)
    assert np.array_equal(np.asarray(picture), before)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_an_array_gives_what_its_image_gives(recipe: Recipe) -> None:
    pixels = noise(230, 260)
    assert np.array_equal(preprocess(pixels, recipe), preprocess(Image.fromarray(pixels), recipe))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_two_layouts_hold_the_same_values(recipe: Recipe) -> None:
    first, last = (preprocess(noise(230, 260), recipe, layout=way) for way in ("nchw", "nhwc"))
    assert first.shape == (1, 3, 224, 224)
    assert last.shape == (1, 224, 224, 3)
    assert np.array_equal(first.transpose(0, 2, 3, 1), last)
    assert first.flags.c_contiguous
    assert last.flags.c_contiguous


def test_caffe_puts_blue_first() -> None:
    red = np.zeros((224, 224, 3), np.uint8)
    red[..., 0] = 255
    values = preprocess(red, CAFFE)[0, :, 0, 0]
    expected = np.array([0, 0, 255], np.float32) - np.array(CAFFE.mean, np.float32)
    assert np.array_equal(values, expected)
    assert values[2] > 0 > values[0]


def test_another_size_keeps_the_recipes_proportion() -> None:
    # 64 pixels from 256 * 64 // 224 = 73: the same part of the picture, up to rounding.
    assert preprocess(noise(73, 73), TORCHVISION, size=64).shape == (1, 3, 64, 64)
    cut = noise(73, 73)[4:68, 4:68]
    assert np.array_equal(
        preprocess(noise(73, 73), TORCHVISION, size=64), normalise(cut[np.newaxis], TORCHVISION)
    )


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(noise(30, 40)).convert(mode)
    path = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    picture.save(path)
    assert np.array_equal(np.asarray(read_image(path)), np.asarray(picture.convert("RGB")))


def test_grey_values_of_16_bits_keep_their_upper_half(tmp_path: Path) -> None:
    # Pillow alone would clip them: all but the darkest 0.4 % would be white.
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "p.png")
    grey = (ramp >> 8).astype(np.uint8)
    assert np.array_equal(np.asarray(read_image(tmp_path / "p.png")), np.dstack([grey] * 3))


def test_pictures_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadInput, match="has pixels of mode F, which have no range"):
        read_image(tmp_path / "f.tif")
    Image.new("RGB", (5000, 1)).save(tmp_path / "line.png")
    with pytest.raises(BadInput, match=r"is 5000×1 pixels; expected sides within a factor of 100"):
        read_image(tmp_path / "line.png")


def test_a_tile_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    # Width, height, bits, no compression, black is 0, and the tile: its sides, place and bytes.
    values = {256: 30, 257: 20, 258: 8, 259: 1, 262: 1, 322: 64_000, 323: 1001, 324: 8, 325: 1}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    header = struct.pack("<4sIH", b"II*", 8, len(values))
    (tmp_path / "tiled.tif").write_bytes(header + tags + bytes(4))
    with pytest.raises(BadInput, match=r"has tiles of 64000×1001 pixels; expected at most 64,000"):
        read_image(tmp_path / "tiled.tif")


def test_reading_in_threads_leaves_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    with ThreadPoolExecutor(8) as threads:
        pictures = list(threads.map(read_image, [PHOTOGRAPHS[0].path] * 32))
    assert len({picture.size for picture in pictures}) == 1
    assert Image.MAX_IMAGE_PIXELS == 1234


def test_a_picture_is_read_while_another_one_is_open() -> None:
    path = PHOTOGRAPHS[0].path
    with ThreadPoolExecutor(1) as threads, opened_image(path) as first:
        assert threads.submit(read_image, path).result(timeout=30).size == first.size


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(noise(20, 30))
    exif = picture.getexif()
    exif[0x0112] = 6  # taken with the camera on its side
    picture.save(tmp_path / "p.png", exif=exif)
    assert read_image(tmp_path / "p.png").size == (20, 30)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((224, 224, 3), np.float32),
        np.zeros((224, 224), np.uint8),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_their_shape(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a uint8 array of shape") as refusal:
        preprocess(array, TORCHVISION)
    assert str(array.shape) in str(refusal.value)


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file; expected a picture"):
        read_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(BadInput, match="not a picture; expected"):
        read_image(tmp_path / "text.png")
    photograph = PHOTOGRAPHS[0].path.read_bytes()
    (tmp_path / "half.png").write_bytes(photograph[: len(photograph) // 2])
    with pytest.raises(BadInput, match="cannot be read"):
        read_image(tmp_path / "half.png")


def test_bytes_give_what_their_file_gives_and_are_called_by_their_label() -> None:
    path = PHOTOGRAPHS[0].path
    content = path.read_bytes()
    assert np.array_equal(np.asarray(read_image(content)), np.asarray(read_image(path)))
    half = content[: len(content) // 2]
    with pytest.raises(BadInput, match=r"^shard\.tar/7\.jpg: cannot be read"):
        read_image(half, label="shard.tar/7.jpg")
    with pytest.raises(BadInput, match=r"^picture: not a picture; expected"):
        read_image(b"not a picture")


def test_the_limit_of_pixels_holds_for_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(noise(20, 30)).save(tmp_path / "p.png")
    monkeypatch.setenv("VGG16_MAX_PIXELS", "599")
    with pytest.raises(BadInput, match=r"^p: is 30×20 pixels; expected at most 599"):
        read_image((tmp_path / "p.png").read_bytes(), label="p")


def test_jpeg_2000_may_have_fewer_pixels_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "_MOST_PIXELS_OF", {"JPEG2000": 599})
    for name in ("p.jp2", "p.png"):
        Image.fromarray(noise(20, 30)).save(tmp_path / name)
    read_image(tmp_path / "p.png")
    with pytest.raises(BadInput, match=r"is 30×20 pixels; expected at most 599, or a larger"):
        read_image(tmp_path / "p.jp2")
    monkeypatch.setenv("VGG16_MAX_PIXELS", "600")
    read_image(tmp_path / "p.jp2")
