"""An input that a port prepared itself, by the same recipe, is no mistake; by another, it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.ports import FORMS, prepare, run_in_modes
from parity_tests.support.helpers import PICTURES
from parity_tests.support.pages.reports import verdict
from parity_tests.support.tolerances import FLOAT32_TAPS
from vgg16_parity.judge import own_input
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.judge.own_input import OWN_INPUT, find_own_input, input_deviation
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.records import Row
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
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
            close = pytest.approx(expected, rel=FLOAT32_TAPS.limit, abs=0)
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


R_OF_INPUTS: Final = 8.0
Shown = tuple[tuple[str, float, bool], ...]
FIRST: Final[Shown] = (("block1_conv1", 2.0, False), ("fc1", 20.0, False))


def shown(checkpoint: Checkpoint, layers: Shown, **options: Any) -> Evidence:
    """What compares levels of 0 to 255 at some taps: each with R, and whether it passed."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    images = options.pop("images", prepare(levels, TORCHVISION, FOLDED))
    case = SimpleNamespace(case=SimpleNamespace(images=images))
    found = tuple(
        LayerVerdict(tap, replace(verdict(ratio, reason="" if passed else "off"), passed=passed))
        for tap, ratio, passed in layers
    )
    facts: dict[str, Any] = {"mode": MODES["float32"], "taps_optional": True, **options}
    judged = CaseVerdict("case", found, ())
    expectation = cast("ArbiterCase", case)
    return Evidence(checkpoint, expectation, taps={}, layers={}, verdict=judged, **facts)


@pytest.mark.parametrize(
    ("layers", "suggested"),
    [
        # The first layer tells, if it is there.
        (FIRST, True),
        ((("block1_conv1", 20.0, False), ("fc1", 2.0, False)), False),
        ((("block1_conv1", 0.5, True), ("fc1", 2.0, False)), False),
        # Otherwise, every layer that fails.
        ((("block1_conv2", 2.0, False), ("fc1", 7.9, False)), True),
        ((("block1_conv2", 2.0, False), ("fc1", R_OF_INPUTS, False)), False),
        ((("block1_conv2", R_OF_INPUTS, False), ("fc1", 2.0, False)), False),
        ((("block1_conv2", 20.0, True), ("fc1", 2.0, False)), True),
        ((("block1_conv2", 2.0, False), ("fc1", math.nan, False)), False),
        ((("block1_conv2", 0.5, True), ("fc1", 0.5, True)), False),
        ((), False),
    ],
)
def test_errors_of_an_inputs_size_suggest_one(
    tiny: Checkpoint, layers: Shown, suggested: bool
) -> None:
    found = next(find_own_input(shown(tiny, layers)), None)
    assert (found is not None) is suggested
    if found is not None:
        expected = input_deviation(shown(tiny, layers).expectation.case.images, TORCHVISION)
        assert found.arithmetic.input_deviation is not None
        assert np.array_equal(found.arithmetic.input_deviation, cast("Any", expected))
        assert (found.note, found.passes) == (OWN_INPUT, True)


@pytest.mark.parametrize(
    "options",
    [
        {"taps_optional": False},
        {"mode": MODES["float16"]},
        {"images": np.full((1, 3, 16, 16), 0.1234, np.float32)},
    ],
)
def test_none_is_suggested_to_other_runs(tiny: Checkpoint, options: dict[str, Any]) -> None:
    assert list(find_own_input(shown(tiny, FIRST, **options))) == []


def test_algorithms_are_looked_for_in_what_it_leaves(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, left = shown(tiny, FIRST), CaseVerdict("what is left", (), ())
    seen = list[Evidence]()

    def find_algorithm(evidence: Evidence) -> Iterator[Suggestion]:
        seen.append(evidence)
        yield Suggestion(evidence.assumed, "by an algorithm")

    monkeypatch.setattr(own_input, "find_algorithm", find_algorithm)
    monkeypatch.setattr(Evidence, "_judge_as", lambda *_: left)
    alone, both = find_own_input(run)
    assert both.note == f"by an algorithm; {OWN_INPUT}"
    assert both.arithmetic is alone.arithmetic
    assert seen == [replace(run, verdict=left, assumed=alone.arithmetic)]


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
