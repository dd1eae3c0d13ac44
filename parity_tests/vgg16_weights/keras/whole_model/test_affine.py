"""Successive scales, means and deviations are what they do to pixels, one after the other."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from vgg16_spec.images.recipes import RECIPES
from vgg16_weights.keras.whole_model.affine import Affine, Channels, channels

Pixels = NDArray[np.float64]
RGB: Final[Pixels] = np.array([[0, 0, 0], [8, 16, 32], [255, 1, 7]], np.float64)
# Powers of two: every result is exact.
FACTORS: Final[tuple[Channels, ...]] = ((0.25, 0.25, 0.25), (0.5, 2.0, 4.0), (1.0, 1.0, 1.0))
OFFSETS: Final[tuple[Channels, ...]] = ((0.0, 0.0, 0.0), (-1.0, 3.0, 0.5), (2.0, 2.0, 2.0))
VARIANCES: Final[tuple[Channels, ...]] = ((4.0, 0.25, 16.0), (1.0, 1.0, 1.0))


def each(number: float) -> Channels:
    return number, number, number


def changed(numbers: Channels, place: int, number: float) -> Channels:
    red, green, blue = (number if at == place else old for at, old in enumerate(numbers))
    return red, green, blue


def half(numbers: Channels) -> Channels:
    red, green, blue = (number / 2 for number in numbers)
    return red, green, blue


def applied(affine: Affine) -> Pixels:
    """What its own description says that it does."""
    pixels = RGB if affine.order == "RGB" else RGB[:, ::-1]
    result: Pixels = (pixels / affine.scale - affine.mean) / affine.std
    return result


@pytest.mark.parametrize("seed", range(60))
def test_what_follows_is_applied_to_what_came_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine, expected = Affine(), RGB
    for _ in range(rng.integers(1, 5)):
        offset = OFFSETS[rng.integers(3)]
        match rng.integers(3):
            case 0:
                affine, expected = affine.reversed(), expected[:, ::-1]
            case 1:
                factor = FACTORS[rng.integers(3)]
                affine, expected = affine.rescaled(factor, offset), expected * factor + offset
            case _:
                variance = VARIANCES[rng.integers(2)]
                affine = affine.normalised(offset, variance)
                expected = (expected - offset) / np.sqrt(variance)
        np.testing.assert_array_equal(applied(affine), expected)


def test_a_first_scale_is_said_as_the_number_that_divides() -> None:
    one = Affine().rescaled(each(1 / 255), each(0.0))
    assert one == Affine(scale=255.0)
    second = Affine().rescaled(each(float(np.float32(1 / 127.5))), each(-1.0))
    assert second == Affine(scale=127.5, mean=each(1.0))
    # A second one is not a scale any more.
    assert one.normalised(each(0.0), each(4.0)).rescaled(each(0.5), each(0.0)).scale == 255


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_a_factor_and_a_variance_are_above_zero(least: float) -> None:
    for place in range(3):
        numbers = changed(each(1.0), place, least)
        with pytest.raises(ArithmeticError, match=rf"^the scale {least:g}$"):
            Affine().rescaled(numbers, each(0.0))
        with pytest.raises(ArithmeticError, match=rf"^the variance {least:g}$"):
            Affine().normalised(each(0.0), numbers)
    # As small as the square of Keras's epsilon, but no smaller.
    Affine().normalised(each(0.0), each(1e-14))
    with pytest.raises(ArithmeticError, match="the variance 9e-15"):
        Affine().normalised((0.0, 0.0, 0.0), (1.0, 9e-15, 1.0))


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_is_found_by_what_it_does_and_no_other_numbers_are_it(name: str) -> None:
    known = RECIPES[name]
    affine = Affine(known.scale, known.mean, known.std, known.channels)
    assert affine.recipe() is known
    # The same, said otherwise: twice the scale, half the means and the deviations.
    same = Affine(2 * known.scale, half(known.mean), half(known.std), known.channels)
    assert same.recipe() is known
    others = [affine._replace(scale=1.001 * known.scale)]
    for place in range(3):
        others += [
            affine._replace(mean=changed(known.mean, place, known.mean[place] + 1e-3)),
            affine._replace(std=changed(known.std, place, known.std[place] * 1.001)),
        ]
    if len(set(known.mean)) > 1:
        others.append(affine.reversed()._replace(order=affine.order))
    others.append(affine._replace(order="BGR" if known.channels == "RGB" else "RGB"))
    for other in others:
        found = other.recipe()
        assert found is not None
        assert found.name not in RECIPES
        assert found.channels == other.order
        ours, theirs = (
            np.array([each.scale, *each.mean, *each.std], np.float32) for each in (found, other)
        )
        np.testing.assert_array_equal(ours, theirs)


def test_pixels_as_they_are_need_no_recipe() -> None:
    assert Affine().recipe() is None
    assert Affine(order="BGR").recipe() is not None


@pytest.mark.parametrize(
    "affine",
    [
        Affine(scale=0.0),
        Affine(scale=-1.0),
        Affine(scale=1e39),
        Affine(mean=(0.0, 1e39, 0.0)),
        Affine(mean=(0.0, float("nan"), 0.0)),
        Affine(std=(1.0, 1.0, 0.0)),
        Affine(std=(-1.0, 1.0, 1.0)),
        Affine(std=(1.0, 1e39, 1.0)),
    ],
)
def test_numbers_that_no_recipe_can_have_are_refused(affine: Affine) -> None:
    with pytest.raises(ArithmeticError, match="beyond float32's range"):
        affine.recipe()


@pytest.mark.parametrize(
    ("affine", "text"),
    [
        (Affine(), "pixels"),
        (Affine(scale=255), "pixels / 255"),
        (Affine(mean=(1, 2, 3)), "pixels - (1, 2, 3)"),
        (Affine(mean=(-1, -2, -3)), "pixels + (1, 2, 3)"),
        (Affine(mean=(-1, 2, 3)), "pixels - (-1, 2, 3)"),
        (Affine(mean=(5, 5, 5), std=(58, 58, 58)), "(pixels - 5) / 58"),
        (Affine(std=(1, 1, 2)), "pixels / (1, 1, 2)"),
        (Affine(scale=2, std=(3, 3, 3)), "(pixels / 2) / 3"),
        (Affine(scale=127.5, mean=(1, 1, 1)), "pixels / 127.5 - 1"),
    ],
)
def test_a_recipe_without_a_name_is_called_by_its_formula(affine: Affine, text: str) -> None:
    assert str(affine) == text


NUMBERS: Final[dict[str, tuple[object, Channels | None]]] = {
    "one": (2, (2.0, 2.0, 2.0)),
    "three": ([1, 2, 3], (1.0, 2.0, 3.0)),
    "in lists": ([[[[1, 2.5, 3]]]], (1.0, 2.5, 3.0)),
    "one in lists": ([[[4]]], (4.0, 4.0, 4.0)),
    "a tuple of Keras 3": ({"class_name": "__tuple__", "items": [1, 2, 3]}, (1.0, 2.0, 3.0)),
    "an array of Keras 3": (
        {"class_name": "__numpy__", "config": {"value": [[1, 2, 3]], "dtype": "float32"}},
        (1.0, 2.0, 3.0),
    ),
    "a tensor of Keras 3": ({"class_name": "__tensor__", "config": {"value": 7}}, each(7.0)),
    "an array of Keras 2": ({"type": "ndarray", "value": [1, 2, 3]}, (1.0, 2.0, 3.0)),
    "two": ([1, 2], None),
    "four": ([1, 2, 3, 4], None),
    "none": ([], None),
    "a truth": (True, None),
    "a truth among numbers": ([1, True, 3], None),
    "a text": ("1", None),
    "a text among numbers": ([1, 2, "3"], None),
    "not a number": ([1, float("nan"), 3], None),
    "infinity": (float("inf"), None),
    "more than a float holds": ([1, 10**400, 3], None),
    "lists among numbers": ([1, [2], 3], None),
    "another object": ({"class_name": "Zeros", "items": [1, 2, 3]}, None),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_channels_are_one_or_three_at_any_depth(kind: str) -> None:
    stored, expected = NUMBERS[kind]
    assert channels(stored) == expected
