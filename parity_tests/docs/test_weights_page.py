"""The pages of weights and of recipes say what is on record and what was measured."""

from __future__ import annotations

import dataclasses
from itertools import permutations
from pathlib import Path

import pytest

from benchmarks.recipes import __main__ as bench
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights import FORMATS, writable
from vgg16_weights.published.pretrained import PUBLISHED, published_recipes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "weights.md").read_text(encoding="utf-8")
RECIPES_PAGE = (DOCS / "how-to" / "recipes-and-labels.md").read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """The cells of every line of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]


def test_every_name_is_there_with_its_record() -> None:
    table = {row[0]: row for row in rows(PAGE)}
    for name, record in PUBLISHED.items():
        _, _, recipe, accuracy, digest, licence = table[f"`{name}`"]
        assert recipe == f"`{record.recipe}`"
        assert digest == f"{record.digest.algorithm} `{record.digest.value[:8]}…`"
        assert licence == record.licence
        if record.features_only:
            assert record.features_only.replace("the file is ", "") in accuracy
        else:
            assert accuracy == f"{record.top1:g} / {record.top5:g}"


def test_every_format_is_there_with_what_it_needs_and_whether_it_is_written() -> None:
    for name, record in FORMATS.items():
        (row,) = [row for row in rows(PAGE) if f"`{name}`" in row[0] and len(row) == 4]
        needs = record.library.name if record.library else ""
        assert row[2] == (f"{needs}, to write" if needs and record.writable else needs), name
        assert row[3] == ("yes" if record.writable else "no"), name


@pytest.mark.parametrize(
    ("page", "every", "written"),
    [
        ("docs/weights.md", "fifteen formats", "eight of the formats"),
        ("docs/design.md", "fifteen weights formats", "eight of them"),
        ("README.md", "fifteen weights formats", "eight of them"),
        ("README.zh.md", "十五种权重格式", "其中八种"),
    ],
)
def test_pages_count_the_formats(page: str, every: str, written: str) -> None:
    assert (len(FORMATS), len(writable())) == (15, 8)
    text = (ROOT / page).read_text(encoding="utf-8")
    assert every in text
    assert written in text


def test_every_recipe_is_there_with_its_numbers() -> None:
    table = {row[0]: row for row in rows(RECIPES_PAGE)}
    for name, recipe in RECIPES.items():
        _, channels, values, mean, std = table[f"`{name}`"]
        assert channels == recipe.channels
        assert values == f"0…{255 / recipe.scale:g}"
        assert mean.partition(" each")[0] in (", ".join(f"{m:g}" for m in recipe.mean), "none", "1")
        assert (mean == "none") == (set(recipe.mean) == {0})
        assert (std == "none") == (set(recipe.std) == {1})


def test_every_field_of_a_recipe_is_there() -> None:
    fields = {row[0].strip("`") for row in rows(RECIPES_PAGE) if len(row) == 3}
    assert fields - {"field", "---"} == {field.name for field in dataclasses.fields(Recipe)} - {
        "channels"
    } | {"order"}


def test_what_the_wrong_recipe_does_was_measured() -> None:
    measured = (DOCS / "measured" / "recipes.md").read_text(encoding="utf-8")
    assert "Seeded weights of configuration D, 2 photographs" in measured
    row = next(row for row in rows(measured) if row[:2] == ["caffe", "torchvision"])
    _, _, logits, likeliest, top5 = row
    text = " ".join(RECIPES_PAGE.split())
    assert f"changes the logits by {logits} of their own size" in text
    assert likeliest == "0 of 2"
    assert "the top class changes for both" in text
    assert f"of the top five classes {top5} remain on average" in text


def test_the_measurement_runs_and_finds_a_change_for_every_pair(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench.main(["--configuration", "tiny"]) == 0
    measured = rows(capsys.readouterr().out)[2:]
    pairs = [(row[0], row[1]) for row in measured]
    assert pairs == list(permutations(published_recipes(), 2))
    assert all(float(row[2].split()[0].replace(",", "")) > 10 for row in measured)
