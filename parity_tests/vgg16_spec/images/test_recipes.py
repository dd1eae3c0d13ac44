"""A recipe is data: one of those with a name, or a small file; anything else is refused."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.recipes import OWN
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import normalise, pixels
from vgg16_spec.images.recipes import (
    RECIPES,
    Recipe,
    read_recipe,
    recipe_from,
    recipe_of,
    settled,
)

ODD: dict[str, Any] = {
    "scale": 64,
    "mean": [0.5, 1.25, 2],
    "std": [2, 4, 0.5],
    "order": "bgr",
    "resize": 96,
    "crop": 80,
    "resample": "bicubic",
}
TOML = """
scale = 64
mean = [0.5, 1.25, 2]
std = [2, 4, 0.5]
order = "bgr"
resize = 96
crop = 80
resample = "bicubic"
"""


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_json_and_toml_give_the_same_recipe_under_the_files_name(tmp_path: Path) -> None:
    expected = replace(
        OWN, name="mine", resample="BICUBIC", mean=(0.5, 1.25, 2.0), std=(2.0, 4.0, 0.5)
    )
    for path in (
        written(tmp_path, "mine.json", json.dumps(ODD)),
        written(tmp_path, "mine.toml", TOML),
        written(tmp_path, "mine.JSON", b"\xef\xbb\xbf" + json.dumps(ODD).encode()),
    ):
        assert read_recipe(path) == expected
        assert recipe_of(str(path)) == expected
    named = written(tmp_path, "a.json", json.dumps({"name": "Dr. Q (2)"} | ODD))
    assert read_recipe(named) == replace(expected, name="Dr. Q (2)")


def test_its_units_are_those_after_the_division_by_scale_in_the_order_of_the_channels() -> None:
    recipe = recipe_from(ODD, "it", "it")
    rgb = np.array([10, 20, 30], np.uint8).reshape(1, 1, 1, 3)
    blue, green, red = normalise(rgb, recipe)[0, :, 0, 0].tolist()
    assert (blue, green, red) == (
        (30 / 64 - 0.5) / 2,
        (20 / 64 - 1.25) / 4,
        (10 / 64 - 2) / 0.5,
    )


def test_resize_and_crop_keep_their_proportion_to_the_networks_input() -> None:
    picture = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
    recipe = recipe_from(ODD, "it", "it")
    assert pixels(picture, recipe).shape == (1, 80, 80, 3)
    assert pixels(picture, recipe, size=40).shape == (1, 40, 40, 3)
    assert pixels(picture, recipe, size=40, crop=False).shape == (1, 48, 60, 3)


def test_one_number_is_for_every_channel_and_only_scale_has_no_default() -> None:
    recipe = recipe_from({"scale": 2.5, "mean": 3, "std": 0.25}, "it", "it")
    assert (recipe.mean, recipe.std) == ((3.0,) * 3, (0.25,) * 3)
    least = recipe_from({"scale": 2.5}, "it", "it")
    assert least == Recipe(name="it", scale=2.5, mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(BadInput, match="it: scale is missing; expected what 0"):
        recipe_from({"mean": 3}, "it", "it")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_values_of_a_named_recipe_are_that_recipe(recipe: Recipe) -> None:
    assert recipe_of(recipe.name) is recipe
    again = recipe_from(json.loads(recipe.to_json()), "it", "mine")
    assert again is recipe
    other = replace(recipe, name="mine", mean=(recipe.mean[0], recipe.mean[1], 0.7))
    assert recipe_from(json.loads(other.to_json()), "it", "mine") == other
    with pytest.raises(BadInput, match=f"name: {recipe.name} is a recipe with other values"):
        settled(replace(other, name=recipe.name), "it")


@pytest.mark.parametrize(
    "change",
    [
        {"order": "BGR"},
        {"resize": 257},
        {"crop": 223},
        {"resample": "BICUBIC"},
        {"scale": 127.51},
        {"mean": [1, 1, 1.001]},
        {"std": [1, 1.001, 1]},
    ],
)
def test_a_recipe_that_differs_in_one_field_is_none_of_the_named(change: dict[str, Any]) -> None:
    fields = {"scale": 127.5, "mean": 1}
    assert recipe_from(fields, "it", "mine") is RECIPES["tf"]
    assert recipe_from(fields | change, "it", "mine").name == "mine"


def test_the_two_new_names_are_what_they_are_called_after() -> None:
    ends = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1).repeat(3, -1)
    for name, expected in {"tf": [-1.0, 1.0], "zero-one": [0.0, 1.0]}.items():
        for channel in normalise(ends, RECIPES[name])[0, :, 0].tolist():
            assert channel == expected


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"sdt": 1}, "'sdt' is not a field of a recipe; expected some of name, scale"),
    "zero std": ({"std": [1, 0, 1]}, "std: is 0; expected a number from 1e-06 to 1e+06"),
    "negative scale": ({"scale": -255}, "scale: is -255; expected a number from 1e-06 to 1e+06"),
    "tiny std": ({"std": 1e-60}, "std: is 1e-60; expected a number from 1e-06"),
    "huge mean": ({"mean": 10**400}, "mean: is 1000"),
    "two means": ({"mean": [1, 2]}, "mean: has 2 numbers; expected three, one for each channel"),
    "text": ({"scale": "255"}, "scale: is '255'; expected a number"),
    "truth": ({"scale": True}, "scale: is True; expected a number"),
    "nested": ({"mean": [[1], 2, 3]}, "mean: is a list; expected a number"),
    "object": ({"std": {"r": 1}}, "std: is a dict; expected a number"),
    "order": ({"order": "GBR"}, "order: is 'GBR'; expected one of RGB, BGR"),
    "filter": ({"resample": "AREA"}, "resample: is 'AREA'; expected one of NEAREST, BOX"),
    "fraction": ({"crop": 224.5}, "crop: is 224.5; expected a number of pixels, 1 to 4096"),
    "large crop": ({"crop": 299}, "crop is 299 and resize 256; expected a resize of 1 to 4 times"),
    "endless resize": ({"crop": 1, "resize": 4096}, "crop is 1 and resize 4096; expected a resize"),
    "name": ({"name": "a\nb"}, r"name: is 'a\\nb'; expected up to 120 letters"),
    "long name": ({"name": "a" * 121}, "name: is 'aaaa"),
    "no name": ({"name": None}, "name: is None; expected up to 120 letters"),
    "another's name": ({"name": "caffe"}, "name: caffe is a recipe with other values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_field_that_cannot_be_used_is_named_with_what_was_expected(case: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises(BadInput, match="it: " + message.replace("+", r"\+")) as refusal:
        recipe_from({"scale": 12.0} | change, "it", "it")
    assert len(str(refusal.value)) <= 300


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", "{", r"cannot be read \(Expecting property name"),
        ("r.json", '{"scale": 1, "scale": 2}', "it has the key 'scale' twice"),
        ("r.json", '{"scale": NaN}', "scale: is nan; expected a number"),
        ("r.toml", "scale = inf", "scale: is inf; expected a number"),
        ("r.toml", "scale: 1", "cannot be read"),
        ("r.json", "[" * 100_000, "has more than 8,192 bytes"),
        ("r.json", "[" * 4_000, "cannot be read"),
        ("r.toml", "a = " + "[" * 4_000, "cannot be read"),
        ("r.json", "[1, 2]", "holds no fields; expected some of name, scale"),
        ("r.json", b"\xff\xfe{", "is not UTF-8 text"),
        ("r.yaml", "scale: 1", r"does not tell the format; expected a recipe \(.json or .toml\)"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(BadInput, match=message) as refusal:
        recipe_of(str(path))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_a_name_that_is_unknown_is_refused_with_those_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--recipe: 'imagenet' is unknown; expected one of torch"):
        recipe_of("imagenet")
    with pytest.raises(BadInput, match="no such file"):
        recipe_of(str(tmp_path / "none.json"))


# Of the half gigabyte that a file may take; the names of a key with dots take the most.
MOST_OF_A_RECIPE = 1 << 28


def test_a_key_with_as_many_dots_as_there_is_room_for_takes_little(tmp_path: Path) -> None:
    path = written(tmp_path, "r.toml", f"a{'.a' * 4090}=1")
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="'a' is not a field of a recipe"):
            read_recipe(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_OF_A_RECIPE
    finally:
        tracemalloc.stop()
