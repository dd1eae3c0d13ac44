"""Combines successive scales, means and deviations per channel into one recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import numpy as np

from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.images.recipes import RECIPES, Recipe

# One number per channel, RGB.
Channels = tuple[float, float, float]

# Keras's epsilon: the least standard deviation that it divides by.
_LEAST_DEVIATION: Final = 1e-7
# The relative error of a few operations in float32, in which Keras computes.
_ROUNDING: Final = 2.0**-21


class Affine(NamedTuple):
    """Pixels in 0..255, in ``order``: divided by ``scale``, minus ``mean``, over ``std``."""

    scale: float = 1.0
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    order: Literal["RGB", "BGR"] = "RGB"

    def reversed(self) -> Affine:
        """The same, followed by a reversal of the channels."""
        order: Literal["RGB", "BGR"] = "BGR" if self.order == "RGB" else "RGB"
        return Affine(self.scale, _each(self.mean[::-1]), _each(self.std[::-1]), order)

    def rescaled(self, factor: Channels, offset: Channels) -> Affine:
        """The same, followed by ``Rescaling``: times a factor, plus an offset.

        Raises ``ArithmeticError`` for a factor that is not above zero.
        """
        if min(factor) <= 0:
            raise ArithmeticError(f"the scale {min(factor):g}")
        if (self.mean, self.std) == (Affine().mean, Affine().std) and len(set(factor)) == 1:
            return self._replace(
                scale=self.scale * _inverse(factor[0]), mean=_each(0.0 - o for o in offset)
            )
        std = _each(s * _inverse(f) for s, f in zip(self.std, factor, strict=True))
        mean = _each(m - o * s for m, o, s in zip(self.mean, offset, std, strict=True))
        return self._replace(mean=mean, std=std)

    def normalised(self, mean: Channels, variance: Channels) -> Affine:
        """The same, followed by ``Normalization``: minus a mean, over the root of a variance.

        Raises ``ArithmeticError`` for a variance that is (nearly) zero.
        """
        if min(variance) < _LEAST_DEVIATION**2:
            raise ArithmeticError(f"the variance {min(variance):g}")
        means = (m + s * more for m, s, more in zip(self.mean, self.std, mean, strict=True))
        stds = (s * math.sqrt(v) for s, v in zip(self.std, variance, strict=True))
        return self._replace(mean=_each(means), std=_each(stds))

    def recipe(self) -> Recipe | None:
        """The recipe, one of ``RECIPES`` where it is one of them; ``None`` for pixels as they are.

        Raises ``ArithmeticError`` for numbers beyond float32's range.
        """
        scale, mean, std = (
            _plain(self.scale),
            _each(map(_plain, self.mean)),
            _each(map(_plain, self.std)),
        )
        if not all(map(math.isfinite, (scale, *mean, *std))) or min(scale, *std) <= 0:
            raise ArithmeticError("a scale, a mean or a variance beyond float32's range")
        affine = Affine(scale, mean, std, self.order)
        if affine == Affine():
            return None
        for known in RECIPES.values():
            its = Affine(known.scale, known.mean, known.std, known.channels)
            if its.order == self.order and affine._is_as(its):
                return known
        name = str(affine) if self.order == "RGB" else f"BGR {affine}"
        return Recipe(name=name, channels=self.order, scale=scale, mean=mean, std=std)

    def _is_as(self, other: Affine) -> bool:
        """Whether both give the same values for all pixels, apart from rounding."""
        return all(
            math.isclose(ours, theirs, rel_tol=_ROUNDING, abs_tol=_ROUNDING * abs(zero))
            for mine, its in zip(self._lines(), other._lines(), strict=True)
            for ours, theirs, zero in ((mine[0], its[0], 0.0), (mine[1], its[1], its[0]))
        )

    def _lines(self) -> list[tuple[float, float]]:
        """Slope and intercept of each channel."""
        return [(1 / (self.scale * s), -m / s) for m, s in zip(self.mean, self.std, strict=True)]

    def __str__(self) -> str:
        """As a formula: ``pixels / 255``, ``(pixels - (1, 2, 3)) / 58``."""
        text = "pixels" if self.scale == 1 else f"pixels / {self.scale:.6g}"
        if any(self.mean):
            sign = "+" if max(self.mean) <= 0 else "-"
            text += f" {sign} {_numbers(-m if sign == '+' else m for m in self.mean)}"
        if set(self.std) != {1.0}:
            text = (
                f"({text}) / {_numbers(self.std)}"
                if " " in text
                else f"{text} / {_numbers(self.std)}"
            )
        return text


def _plain(value: float) -> float:
    """The shortest decimal number that float32 rounds as it does this one."""
    with np.errstate(over="ignore"):
        return float(str(np.float32(value)))


def _inverse(factor: float) -> float:
    """The shortest number whose inverse float32 rounds as it does the factor: 1 / 255 -> 255."""
    inverse = 1 / factor
    with np.errstate(all="ignore"):
        for digits in range(1, 9):
            if np.float32(1 / (short := float(f"{inverse:.{digits}g}"))) == np.float32(factor):
                return short
    return inverse


def _each(values: Iterable[float]) -> Channels:
    red, green, blue = values
    return red, green, blue


def _numbers(values: Iterable[float]) -> str:
    """One number where all are equal."""
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


def channels(value: object) -> Channels | None:
    """A number per channel, from one or three, at any depth of lists; ``None`` for all else."""
    value = _bare(value)
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    numbers = value if isinstance(value, list) else [value] * IMAGE_CHANNELS
    if len(numbers) != IMAGE_CHANNELS:
        return None
    try:
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            return None
        if not all(map(math.isfinite, numbers)):
            return None
        return _each(map(float, numbers))
    except OverflowError:
        return None


def _bare(value: object) -> object:
    """The list or number inside what Keras 3 and 2 write for a tuple or an array."""
    match value:
        case {"class_name": "__numpy__" | "__tensor__", "config": {"value": inner}}:
            return inner
        case {"class_name": "__tuple__", "items": inner}:
            return inner
        case {"type": "ndarray", "value": inner}:
            return inner
    return value
