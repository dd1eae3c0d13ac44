"""How pictures were prepared for each set of weights: one record each, named or one's own.

A recipe of one's own is a small JSON or TOML file with the fields of ``Recipe``; ``channels`` is
called ``order`` there, and only ``scale`` has no default:

    scale = 127.5        # what 0..255 pixel values are divided by first
    mean = [1, 1, 1]     # then subtracted; one number is for all three channels
    std = 1              # then divided by
    order = "RGB"        # of the channels, and of mean and std
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.errors import BadInput
from vgg16_spec.files.text import read_json, read_text

_RESAMPLES: Final = ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
_ORDERS: Final = ("RGB", "BGR")
_EXPECTED: Final = "a recipe (.json or .toml)"
# The memory that TOML takes may grow with the square of its length: 3 GB for 64 KB of dots.
_MOST_BYTES: Final = 1 << 13
# No arithmetic of float32 overflows between these.
_SMALLEST, _LARGEST = 1e-6, 1e6
_MOST_PIXELS: Final = 4096
# A crop that is far smaller than the resized picture would have it resized to any size.
_MOST_RESIZED: Final = 4
# Room for a formula: (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
_NAME: Final = re.compile(r"[\w(][\w .,()/+-]{0,119}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the pictures were prepared that a set of weights was trained and measured with.

    Attributes:
        name: what a checkpoint's metadata call it.
        resize: the shorter side after resizing, in pixels, for a crop of ``crop`` pixels.
        crop: the side of the square cut from the centre, in pixels.
        resample: Pillow's name of the resampling filter.
        channels: the order of the channels in the input.
        scale: what 0..255 pixel values are divided by, before the mean is subtracted.
        mean: subtracted from each channel after the division by ``scale``, in the order of
            ``channels``.
        std: what each channel is divided by at the end, in the order of ``channels``.
    """

    name: str
    resize: int = 256
    crop: int = 224
    resample: str = "BILINEAR"
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def mean_and_std(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both for arrays of (N, 3, H, W): each (3, 1, 1)."""
        mean, std = (np.array(each)[:, np.newaxis, np.newaxis] for each in (self.mean, self.std))
        return mean, std

    def to_json(self) -> str:
        """The fields of a recipe's file, without the name."""
        fields = asdict(self)
        del fields["name"]
        return json.dumps({"order": fields.pop("channels")} | fields)

    def does_the_same(self, other: Recipe) -> bool:
        """Whether both give the same pixels: all but the name equal, in float32."""
        return _values(self) == _values(other)


def _values(recipe: Recipe) -> tuple[object, ...]:
    numbers = np.array([recipe.scale, *recipe.mean, *recipe.std], np.float32)
    return (recipe.resize, recipe.crop, recipe.resample, recipe.channels, *numbers.tolist())


RECIPES: Final = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            # torchvision: VGG16_Weights.IMAGENET1K_V1.transforms()
            Recipe(
                name="torchvision",
                scale=255.0,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
            ),
            # torchvision: VGG16_Weights.IMAGENET1K_FEATURES.transforms()
            Recipe(
                name="torchvision-features",
                scale=255.0,
                mean=(0.48235, 0.45882, 0.40784),
                std=(1 / 255, 1 / 255, 1 / 255),
            ),
            # Keras: keras.applications.vgg16.preprocess_input, which is the authors' Caffe model's
            # arithmetic. It leaves the size to its caller; 256 and 224 are section 3.2 of the paper
            # (Q = 256) with a single centre crop.
            Recipe(
                name="caffe",
                channels="BGR",
                scale=1.0,
                mean=(103.939, 116.779, 123.68),
                std=(1.0, 1.0, 1.0),
            ),
            # Keras: preprocess_input of its models in mode "tf", and Rescaling(1 / 127.5, -1).
            Recipe(name="tf", scale=127.5, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0)),
            # Keras: Rescaling(1 / 255). torchvision: ToTensor alone.
            Recipe(name="zero-one", scale=255.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        )
    }
)


def recipe_named(name: str, label: str) -> Recipe:
    """The recipe of that name, which is that of ``label``. Raises ``BadInput`` for another name."""
    if name not in RECIPES:
        raise BadInput(label, f"its recipe is {name[:40]!r}", f"one of {', '.join(RECIPES)}")
    return RECIPES[name]


def recipe_of(text: str, option: str = "--recipe") -> Recipe:
    """The recipe that a name or a file's path means; a name takes precedence.

    Raises ``BadInput`` for a name that is unknown and for a file that cannot be used.
    """
    if text in RECIPES:
        return RECIPES[text]
    if Path(text).suffix.lower() not in _READERS and not Path(text).exists():
        known = f"one of {', '.join(RECIPES)}, or a .json or .toml file"
        raise BadInput(option, f"{text[:80]!r} is unknown", known)
    return read_recipe(text)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """A recipe from a JSON or TOML file of the fields that this module's docstring shows.

    Its name is the file's unless it states one; with the values of one of ``RECIPES`` it is that.

    Raises ``BadInput`` for a file that cannot be read, and one that names a field that is missing,
    unknown or unusable, and what was expected.
    """
    path = Path(path)
    if (parse := _READERS.get(path.suffix.lower())) is None:
        raise BadInput(path, "its name does not tell the format", _EXPECTED)
    text = read_text(path, _EXPECTED, _MOST_BYTES)
    try:
        fields = parse(text)
    except (ValueError, RecursionError) as error:  # TOML nested deep ends in the latter
        raise BadInput(path, f"cannot be read ({error!s:.100})", _EXPECTED) from error
    return recipe_from(fields, str(path), path.stem)


def recipe_from(fields: object, label: str, name: str) -> Recipe:
    """The recipe that a document of a recipe's fields describes.

    Args:
        fields: a mapping, as JSON or TOML gives it.
        label: what errors call the document.
        name: of the recipe where the document states none.

    Raises ``BadInput`` that names the field and what was expected.
    """
    if not isinstance(fields, Mapping):
        raise BadInput(label, "holds no fields", f"some of {', '.join(_FIELDS)}")
    given = dict(fields)
    if unknown := [field for field in given if field not in _FIELDS]:
        problem = f"{unknown[0][:40]!r} is not a field of a recipe"
        raise BadInput(label, problem, f"some of {', '.join(_FIELDS)}")
    if "scale" not in given:
        raise BadInput(label, "scale is missing", "what 0..255 pixels are divided by: 255, or 1")
    read = {field: _FIELDS[field](f"{label}: {field}", value) for field, value in given.items()}
    recipe = Recipe(
        name=read.pop("name", name),
        channels=read.pop("order", "RGB"),
        **({"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)} | read),
    )
    if not recipe.crop <= recipe.resize <= _MOST_RESIZED * recipe.crop:
        problem = f"crop is {recipe.crop} and resize {recipe.resize}"
        raise BadInput(label, problem, f"a resize of 1 to {_MOST_RESIZED} times crop")
    return settled(recipe, label)


def settled(recipe: Recipe, label: str) -> Recipe:
    """The named recipe that does the same, if there is one; else the recipe itself.

    Raises ``BadInput`` where it has the name of another, or one that is not a name.
    """
    for named in RECIPES.values():
        if recipe.does_the_same(named):
            return named
    if recipe.name in RECIPES:
        problem = f"name: {recipe.name} is a recipe with other values"
        raise BadInput(label, problem, "another name")
    return replace(recipe, name=_name(f"{label}: name", recipe.name))


def resized_side(recipe: Recipe, size: int) -> int:
    """A picture's shorter side in pixels before a crop of ``size`` pixels is cut out of it."""
    return recipe.resize * size // recipe.crop


def _number(label: str, value: object, least: float = _SMALLEST) -> float:
    """A number that float32 has room to compute with."""
    # True is an int, but not a number.
    if type(value) in (int, float) and least <= cast(float, value) <= _LARGEST:
        return float(cast(float, value))
    raise BadInput(label, _is(value), f"a number from {least:g} to {_LARGEST:g}")


def _numbers(label: str, value: object, least: float) -> tuple[float, ...]:
    """A number for each channel, from as many or from one."""
    if not isinstance(value, list):
        return (_number(label, value, least),) * 3
    if len(value) != 3:
        raise BadInput(label, f"has {len(value)} numbers", "three, one for each channel, or one")
    return tuple(_number(label, each, least) for each in value)


def _side(label: str, value: object) -> int:
    if type(value) is int and 1 <= value <= _MOST_PIXELS:
        return value
    raise BadInput(label, _is(value), f"a number of pixels, 1 to {_MOST_PIXELS}")


def _name(label: str, value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise BadInput(label, _is(value), "up to 120 letters, digits, spaces and .,()/+-_")


def _one_of(label: str, value: object, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and value.upper() in allowed:
        return value.upper()
    raise BadInput(label, _is(value), f"one of {', '.join(allowed)}")


def _is(value: object) -> str:
    """What a value is, at no length."""
    return f"is a {type(value).__name__}" if isinstance(value, list | dict) else f"is {value!r:.40}"


# The fields of a recipe's file: what reads each, given the field's label and value.
_FIELDS: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "name": _name,
    "scale": _number,
    "mean": partial(_numbers, least=-_LARGEST),
    "std": partial(_numbers, least=_SMALLEST),
    "order": partial(_one_of, allowed=_ORDERS),
    "resize": _side,
    "crop": _side,
    "resample": partial(_one_of, allowed=_RESAMPLES),
}
_READERS: Final[Mapping[str, Callable[[str], Any]]] = {".json": read_json, ".toml": tomllib.loads}
