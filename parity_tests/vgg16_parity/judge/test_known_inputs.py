"""Every input that a known mistake gives is made once, as the mistake makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from vgg16_parity.judge.known_inputs import levels, misread
from vgg16_spec.images.preprocessing import RECIPES, Recipe, normalise

Values = NDArray[Any]

# Relative and absolute: a few roundings of float32, of values that a mean is subtracted from.
ROUNDED: Final = (1e-5, 1e-5)
# No side is as long as another; black and white are there.
PIXELS: Final = np.random.default_rng(3).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
PIXELS[0, 0, 0] = 0, 255, 1
OWN: Final = RECIPES["torchvision"]


def prepared(scale: float, mean: Any = 0.0, std: Any = 1.0, *, bgr: bool = False) -> Values:
    """The pixels, (N, 3, H, W), divided, shifted and divided again, channel by channel."""
    ordered = PIXELS[..., ::-1] if bgr else PIXELS
    values: Values = (ordered / scale - np.asarray(mean)) / np.asarray(std)
    return values.transpose(0, 3, 1, 2)


def by(recipe: Recipe, *, other_order: bool = False) -> Values:
    bgr = (recipe.channels == "BGR") != other_order
    return prepared(recipe.scale, recipe.mean, recipe.std, bgr=bgr)


def given(recipe: Recipe) -> NDArray[np.float32]:
    return normalise(PIXELS, recipe)


def same(values: Values, others: Values) -> bool:
    return values.shape == others.shape and np.allclose(values, others, *ROUNDED)


IMAGES: Final = given(OWN)
MEAN, STD = (np.array(each).reshape(3, 1, 1) for each in (OWN.mean, OWN.std))
# Of any input: words -> what the port computed with.
MOVED: Final[Mapping[str, Values]] = {
    "channels reversed (BGR for RGB, or RGB for BGR)": IMAGES[:, ::-1],
    "NCHW read as NHWC": IMAGES.reshape(2, 5, 4, 3).transpose(0, 3, 1, 2),
    "NHWC read as NCHW": IMAGES.transpose(0, 2, 3, 1).reshape(2, 3, 5, 4),
    "height and width swapped": IMAGES.transpose(0, 1, 3, 2),
    "pictures mirrored left to right": IMAGES[..., ::-1],
    "pictures upside down": IMAGES[..., ::-1, :],
}
AGAIN: Final[Mapping[str, Values]] = {
    "the mean not subtracted": IMAGES + MEAN / STD,
    "not divided by the standard deviation": IMAGES * STD,
    "pictures normalised twice": (IMAGES - MEAN) / STD,
}
# Of pictures, in both orders of the channels. Where one of these is a named recipe's, it is that.
OTHERWISE: Final[Mapping[str, Values]] = {
    "pictures, in BGR order": by(OWN, other_order=True),
    "pictures not normalised, 0 to 255": prepared(1),
    "pictures not normalised, 0 to 1": prepared(255),
    "pictures normalised to -1 to 1": prepared(127.5, 1),
    "pictures not normalised, 0 to 255, in BGR order": prepared(1, bgr=True),
    "pictures not normalised, 0 to 1, in BGR order": prepared(255, bgr=True),
    "pictures normalised to -1 to 1, in BGR order": prepared(127.5, 1, bgr=True),
} | {
    f"pictures prepared by the recipe {name}{order}": by(RECIPES[name], other_order=bool(order))
    for name, orders in {
        "torchvision-features": ("", ", in BGR order"),
        "caffe": ("", ", in RGB order"),
    }.items()
    for order in orders
}


@pytest.mark.parametrize(
    ("recipe", "expected"), [(OWN, {**MOVED, **OTHERWISE, **AGAIN}), (None, MOVED)]
)
def test_every_input_is_what_its_mistake_makes(
    recipe: Recipe | None, expected: Mapping[str, Values]
) -> None:
    made = dict(misread(IMAGES, recipe))
    assert made.keys() == expected.keys()
    for words, values in expected.items():
        assert same(made[words], values), words
        assert made[words].dtype == np.float32
        assert made[words].flags.c_contiguous


@pytest.mark.parametrize("name", RECIPES)
def test_whichever_recipe_prepared_pictures_the_others_are_tried(name: str) -> None:
    own = RECIPES[name]
    made = dict(misread(given(own), own)).values()
    for other in RECIPES.values():
        for values in (by(other), by(other, other_order=True)):
            tried = any(same(values, each) for each in made)
            assert tried != same(values, by(own)), other.name


def test_pictures_of_a_bgr_recipe_are_followed_back_to_their_pixels() -> None:
    caffe = RECIPES["caffe"]
    made = dict(misread(given(caffe), caffe))
    assert same(made["pictures, in RGB order"], by(caffe, other_order=True))
    assert same(made["pictures prepared by the recipe torchvision"], by(OWN))
    assert same(made["pictures not normalised, 0 to 1"], prepared(255, bgr=True))


def test_pictures_in_bgr_order_are_normalised_again_in_either_order() -> None:
    caffe = RECIPES["caffe"]
    images = given(caffe)
    mean = np.array(caffe.mean).reshape(3, 1, 1)
    twice = [values for words, values in misread(images, caffe) if "twice" in words]
    assert len(twice) == 2
    for values, again in zip(twice, (images, images[:, ::-1]), strict=True):
        assert same(values, again - mean)


def test_an_input_that_a_mistake_does_not_change_is_left_out() -> None:
    grey = np.ascontiguousarray(np.broadcast_to(IMAGES[:, :1], IMAGES.shape))
    words = dict(misread(grey, None))
    assert words.keys() == MOVED.keys() - {"channels reversed (BGR for RGB, or RGB for BGR)"}
    assert dict(misread(np.ones((2, 3, 4, 4), np.float32), None)) == {}


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [(0.0, True), (255.0, True), (7.015, True), (7.025, False), (-1.0, False), (256.0, False)],
)
def test_levels_are_whole_numbers_of_a_byte(pixel: float, expected: bool) -> None:
    plain = replace(OWN, name="plain", scale=2.0, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    pixels = np.arange(60.0).reshape(1, 3, 5, 4)
    pixels[0, 2, 3, 1] = pixel
    mean, std = (np.array(each).reshape(3, 1, 1) for each in (plain.mean, plain.std))
    images = ((pixels / 2 - mean) / std).astype(np.float32)
    whole = levels(images, plain)
    if expected:
        assert whole is not None
        np.testing.assert_array_equal(whole, np.rint(pixels))
    else:
        assert whole is None
    # Without levels, no other preparation is tried.
    prepared_otherwise = any("0 to 255" in words for words, _ in misread(images, plain))
    assert prepared_otherwise == expected
