"""An input that a port prepared itself, by the same recipe, is no mistake; by another, it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.helpers import PICTURES
from parity_tests.support.ports import FORMS, prepare, run_in_modes
from vgg16_parity.judge.own_input import OWN_INPUT, input_deviation
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import RECIPES, Recipe, pixels, read_image

TORCHVISION: Final = RECIPES["torchvision"]
FOLDED: Final = "scale and offset folded"

Arbiters = Callable[[str], Arbiter]


@pytest.fixture(scope="module")
def arbiters(tiny: Checkpoint) -> Iterator[Arbiters]:
    made: list[Arbiter] = []

    @cache
    def arbiter(recipe: str) -> Arbiter:
        made.append(Arbiter(tiny.with_recipe(RECIPES[recipe]), PICTURES))
        return made[-1]

    yield arbiter
    for one in made:
        one.close()


def levels_of(checkpoint: Checkpoint, recipe: Recipe) -> NDArray[np.uint8]:
    size = checkpoint.configuration.input_size
    return np.concatenate([pixels(read_image(path), recipe, size=size) for path in PICTURES])


def judged(arbiter: Arbiter, images: NDArray[np.float32], *, logits_only: bool = False) -> Row:
    taps = run_in_modes(arbiter.checkpoint, images, {})
    return arbiter.judge("mine", taps["predictions"] if logits_only else taps)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_port_may_prepare_its_input_in_any_usual_form(
    arbiters: Arbiters, recipe: str, form: str
) -> None:
    arbiter = arbiters(recipe)
    images = prepare(levels_of(arbiter.checkpoint, RECIPES[recipe]), RECIPES[recipe], form)
    for logits_only in (False, True):
        row = judged(arbiter, images, logits_only=logits_only)
        assert row.status == "holds", explain(row)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_no_form_rounds_more_than_twice_the_deviation(
    arbiters: Arbiters, recipe: str, form: str
) -> None:
    arbiter = arbiters(recipe)
    images = prepare(levels_of(arbiter.checkpoint, RECIPES[recipe]), RECIPES[recipe], form)
    deviation = input_deviation(arbiter.images, RECIPES[recipe])
    assert deviation is not None
    # The sum of the largest errors is above the root of their squares' sum, by less than that.
    assert (np.abs(images - arbiter.images) <= 2 * deviation).all()


@pytest.mark.parametrize("name", RECIPES)
def test_the_deviation_is_the_root_of_the_squared_largest_roundings(name: str) -> None:
    recipe = RECIPES[name]
    mean, std = recipe.mean_and_std()
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    images = prepare(levels, recipe, FOLDED)
    found = input_deviation(images, recipe)
    assert found is not None
    for channel, (m, s) in enumerate(zip(mean.flat, std.flat, strict=True)):
        for level in range(256):
            quotient, place = level / recipe.scale, (0, channel, *divmod(level, 16))
            exact = (quotient - m) / s
            quotients, means, results = 3 * (quotient / s) ** 2, 2 * (m / s) ** 2, 3 * exact**2
            roundings = 2.0**-24 * math.sqrt(quotients + means + results)
            expected = math.hypot(roundings, images[place] - exact)
            # It is returned in float32.
            close = pytest.approx(expected, rel=2.0**-23, abs=0)
            assert found[place] == close, (channel, level)


def test_a_port_whose_input_is_rounded_otherwise_holds_and_is_told_so(arbiters: Arbiters) -> None:
    # Z is 18 in the first layer otherwise: pixels near the mean leave small values, whose errors
    # are those of the larger numbers that were subtracted.
    arbiter = arbiters("torchvision")
    images = prepare(levels_of(arbiter.checkpoint, TORCHVISION), TORCHVISION, FOLDED)
    row = judged(arbiter, images)
    assert row.status == "holds"
    assert row.cases[0].notes == (OWN_INPUT,)
    assert OWN_INPUT in explain(row)


WRONG: Final = {
    "divided by 256": replace(TORCHVISION, scale=256.0),
    "another mean": replace(TORCHVISION, mean=(0.485, 0.456, 0.407)),
    "another std": replace(TORCHVISION, std=(0.229, 0.224, 0.2251)),
    "BGR": replace(TORCHVISION, channels="BGR"),
    "another filter": replace(TORCHVISION, resample="BICUBIC"),
    "caffe's": RECIPES["caffe"],
}


@pytest.mark.parametrize("name", WRONG)
def test_another_recipe_stays_broken(arbiters: Arbiters, name: str) -> None:
    arbiter, recipe = arbiters("torchvision"), WRONG[name]
    images = prepare(levels_of(arbiter.checkpoint, recipe), recipe, FOLDED)
    for logits_only in (False, True):
        assert judged(arbiter, images, logits_only=logits_only).status == "broken"


def test_an_input_of_its_own_excuses_no_other_layer(arbiters: Arbiters) -> None:
    arbiter = arbiters("torchvision")
    images = prepare(levels_of(arbiter.checkpoint, TORCHVISION), TORCHVISION, FOLDED)
    taps = run_in_modes(arbiter.checkpoint, images, {})
    # One logit, off by as little as is above the limits.
    size = np.abs(taps["predictions"]).max()
    taps["predictions"][0, 0] += size * np.float32(1e-4)
    row = arbiter.judge("mine", taps)
    assert (row.status, row.first_wrong) == ("broken", "predictions")
    assert row.cases[0].notes[0] == OWN_INPUT


def test_what_no_recipe_made_has_no_rounding_of_pixels(arbiters: Arbiters) -> None:
    arbiter = arbiters("torchvision")
    assert input_deviation(arbiter.images, TORCHVISION) is not None
    assert input_deviation(arbiter.images * np.float32(1.01), TORCHVISION) is None
    noise = np.random.default_rng(3).standard_normal(arbiter.images.shape).astype(np.float32)
    assert input_deviation(noise, TORCHVISION) is None


def test_a_small_mistake_further_on_is_no_input_of_its_own(arbiters: Arbiters) -> None:
    arbiter, broken = arbiters("torchvision"), 0
    for by in (1e-6, 2e-6, 4e-6, 8e-6, 16e-6):
        bias = np.array(arbiter.checkpoint["block2_conv1.bias"])
        bias[np.abs(bias).argmax()] *= np.float32(1 + by)
        wrong = arbiter.checkpoint.with_tensors({"block2_conv1.bias": bias})
        row = arbiter.judge("mine", run_in_modes(wrong, arbiter.images, {}))
        broken += row.status == "broken"
        assert not any(OWN_INPUT in note for note in row.cases[0].notes)
    assert broken
