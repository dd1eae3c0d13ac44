"""The CSV file has every image's answers, and no name in it is a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.foreign_text import NAME, unseen
from parity_tests.support.pages.evaluations import RUNTIMES, statistics
from vgg16_parity.evaluate.report import answers
from vgg16_parity.evaluate.statistics import Statistics, measure

CLASSES = ("tench", "goldfish", "shark", "ray", "cock", "hen")


def rows(found: Statistics, folder: Path) -> list[dict[str, str]]:
    path = folder / "answers.csv"
    answers.write(found, path)
    assert not unseen(path.read_text(encoding="utf-8"))
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def one(
    logits: Sequence[float],
    *,
    label: int | None = 1,
    name: str = "a.png",
    runtime: str = "torch",
    classes: Sequence[str] = CLASSES,
) -> Statistics:
    values: NDArray[Any] = np.array([logits], np.float32)
    return measure({runtime: [values]}, [label], [name], classes)


def test_a_row_has_the_answers_of_every_runtime(tmp_path: Path) -> None:
    found = statistics()
    written = rows(found, tmp_path)
    assert len(written) == len(found.names) == 120
    for place, row in enumerate(written):
        label = found.labels[place]
        assert label is not None
        assert (row["image"], row["label"]) == (found.names[place], str(label))
        assert row["label name"] == found.class_names[label]
        for runtime in RUNTIMES:
            said = found.answers[runtime]
            best = int(said.top1[place])
            assert row[f"{runtime} top1"] == str(best)
            assert row[f"{runtime} name"] == found.class_names[best]
            assert float(row[f"{runtime} probability"]) == float(f"{said.probability[place]:.9g}")
            assert row[f"{runtime} top1 right"] == str(int(best == label))
            assert row[f"{runtime} top5 right"] == str(int(label in said.top5[place]))
            assert float(row[f"{runtime} loss"]) == float(f"{said.loss[place]:.9g}")


def test_the_columns_add_up_to_the_accuracy(tmp_path: Path) -> None:
    found = statistics()
    written = rows(found, tmp_path)
    for runtime in found.runtimes:
        for column, share in (("top1", runtime.top1), ("top5", runtime.top5)):
            assert share is not None
            assert sum(int(row[f"{runtime.name} {column} right"]) for row in written) == share.count


def test_an_image_without_a_label_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    (row,) = rows(one([0, 1, 2, 3, 4, 5], label=None), tmp_path)
    empty = ("label", "label name", "torch top1 right", "torch top5 right", "torch loss")
    assert [row[column] for column in empty] == [""] * 5
    assert row["torch top1"] == "5"


def test_logits_that_are_not_finite_have_no_answer_and_are_wrong(tmp_path: Path) -> None:
    (row,) = rows(one([0, np.nan, 2, 3, 4, 5]), tmp_path)
    empty = ("torch top1", "torch name", "torch probability", "torch loss")
    assert [row[column] for column in empty] == [""] * 4
    assert (row["torch top1 right"], row["torch top5 right"]) == ("0", "0")


@pytest.mark.parametrize(
    "formula",
    ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", " =1+1", "\u3000=1", "＝1", "\xa0@x"],
)
def test_no_text_is_a_formula(formula: str, tmp_path: Path) -> None:
    classes = [formula] * 6
    (row,) = rows(one([9, 0, 0, 0, 0, 0], name=formula, classes=classes), tmp_path)
    for column in ("image", "label name", "torch name"):
        assert row[column] == f"'{formula}"
    (row,) = rows(one([9, 0, 0, 0, 0, 0], runtime=formula), tmp_path)
    assert f"'{formula} top1" in row


@pytest.mark.parametrize("start", ["\t=1", "\r=1", "\n=1", "\u200b=1", "\x00=1"])
def test_a_control_character_is_escaped_and_hides_no_formula(start: str, tmp_path: Path) -> None:
    (row,) = rows(one([9, 0, 0, 0, 0, 0], name=start), tmp_path)
    assert row["image"].startswith("\\")


@pytest.mark.parametrize("name", ['a,"b";c', "née.png", "鶴/1.png", NAME, "x" * 5000, "'a", ""])
def test_any_name_is_one_cell(name: str, tmp_path: Path) -> None:
    (row,) = rows(one([9, 0, 0, 0, 0, 0], name=name), tmp_path)
    assert row["torch top1"] == "0"
    if name != NAME:
        assert row["image"] == name


def test_an_empty_data_set_has_a_header_alone(tmp_path: Path) -> None:
    assert rows(measure({"torch": []}, [], [], CLASSES), tmp_path) == []
