"""``docs/weights.md`` says what is on record and what was measured."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from benchmarks.recipes import __main__ as bench
from vgg16_spec.images.preprocessing import RECIPES
from vgg16_weights import FORMATS
from vgg16_weights.published.pretrained import PUBLISHED, published_recipes

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "weights.md").read_text(encoding="utf-8")


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


def test_every_format_and_recipe_is_there() -> None:
    for name in (*FORMATS, *RECIPES):
        assert any(f"`{name}`" in row[0] for row in rows(PAGE)), name


def test_what_the_wrong_recipe_does_was_measured() -> None:
    measured = (DOCS / "measured" / "recipes.md").read_text(encoding="utf-8")
    assert "Seeded weights of configuration D, 2 photographs" in measured
    row = next(row for row in rows(measured) if row[:2] == ["caffe", "torchvision"])
    _, _, logits, likeliest, top5 = row
    assert f"changes the logits by {logits} of their own size" in PAGE
    assert likeliest == "0 of 2"
    assert "the top class changes for both" in PAGE
    assert f"of the top five classes {top5} remain on average" in PAGE


def test_the_measurement_runs_and_finds_a_change_for_every_pair(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench.main(["--configuration", "tiny"]) == 0
    measured = rows(capsys.readouterr().out)[2:]
    pairs = [(row[0], row[1]) for row in measured]
    assert pairs == list(permutations(published_recipes(), 2))
    assert all(float(row[2].split()[0].replace(",", "")) > 10 for row in measured)
