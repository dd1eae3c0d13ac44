"""Inputs that a known mistake may have given a port: BGR, not normalised, NHWC for NCHW."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.images.preprocessing import RECIPES, Recipe, normalise
from vgg16_spec.layouts import nchw_to_nhwc, nhwc_to_nchw

Images = NDArray[np.float32]

_LARGEST_PIXEL: Final = 255
# Pixels recovered from float32 normalisation may be this far from whole numbers.
_WHOLE: Final = 0.02


def misread(images: Images, recipe: Recipe | None) -> Iterator[tuple[str, Images]]:
    """The inputs that a port may have used, each once: a description and the values.

    Args:
        images: the input that it should have used, (N, 3, H, W).
        recipe: the recipe that prepared it, if known; without one, other recipes are not tried.
    """
    seen = {sha256(np.ascontiguousarray(images).data).digest()}
    for words, altered in _candidates(images, recipe):
        made = np.ascontiguousarray(altered, np.float32)
        if (digest := sha256(made.data).digest()) not in seen:
            seen.add(digest)
            yield words, made


def _candidates(images: Images, recipe: Recipe | None) -> Iterator[tuple[str, NDArray[Any]]]:
    count, _, height, width = images.shape
    yield "channels reversed (BGR for RGB, or RGB for BGR)", images[:, ::-1]
    pixels = None if recipe is None else _pixels(images, recipe)
    if recipe is not None and pixels is not None:
        yield from _prepared_otherwise(pixels, recipe)
    yield "NCHW read as NHWC", nhwc_to_nchw(images.reshape(count, height, width, -1))
    yield "NHWC read as NCHW", nchw_to_nhwc(images).reshape(images.shape)
    yield "height and width swapped", images.swapaxes(2, 3)
    yield "pictures mirrored left to right", images[..., ::-1]
    yield "pictures upside down", images[..., ::-1, :]
    if recipe is not None:
        mean, std = (each.astype(np.float32) for each in recipe.mean_and_std())
        yield "the mean not subtracted", images + mean / std
        yield "not divided by the standard deviation", images * std
        for again in (images, images[:, ::-1]) if recipe.channels == "BGR" else (images,):
            yield "pictures normalised twice", (again - mean) / std


def _prepared_otherwise(pixels: NDArray[np.uint8], recipe: Recipe) -> Iterator[tuple[str, Images]]:
    """Pixels, (N, H, W, 3), prepared by other recipes, each in both orders of the channels."""
    plain = replace(recipe, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    ways = {
        "pictures": recipe,
        "pictures not normalised, 0 to 255": plain,
        "pictures not normalised, 0 to 1": replace(plain, scale=255.0),
        "pictures normalised to -1 to 1": replace(plain, scale=127.5, mean=(1.0, 1.0, 1.0)),
    }
    ways |= {f"pictures prepared by the recipe {name}": each for name, each in RECIPES.items()}
    for words, way in ways.items():
        yield words, normalise(pixels, way)
    for words, way in ways.items():
        channels: Literal["RGB", "BGR"] = "RGB" if way.channels == "BGR" else "BGR"
        yield f"{words}, in {channels} order", normalise(pixels, replace(way, channels=channels))


def _pixels(images: Images, recipe: Recipe) -> NDArray[np.uint8] | None:
    """The pixels that a recipe turned into these values, (N, H, W, 3) in RGB order, or ``None``."""
    if (whole := levels(images, recipe)) is None:
        return None
    ordered = whole if recipe.channels == "RGB" else whole[:, ::-1]
    return nchw_to_nhwc(ordered).astype(np.uint8)


def levels(images: Images, recipe: Recipe) -> NDArray[np.float64] | None:
    """The levels of 0 to 255 that a recipe made these values of, in their places, if it did."""
    mean, std = recipe.mean_and_std()
    found = (images * std + mean) * recipe.scale
    whole: NDArray[np.float64] = np.rint(found)
    near = bool((np.abs(found - whole) < _WHOLE).all())
    return whole if near and whole.min() >= 0 and whole.max() <= _LARGEST_PIXEL else None
