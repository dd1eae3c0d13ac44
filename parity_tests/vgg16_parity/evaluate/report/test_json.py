"""The JSON document holds the evaluation, and its schema is the one that is shipped."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from parity_tests.support.foreign_text import HOSTILE, unseen
from parity_tests.support.pages import evaluation_schema
from parity_tests.support.pages.evaluations import evaluation, everything
from vgg16_parity.evaluate.records import Dispute, Evaluation, RuntimeAccuracy
from vgg16_parity.evaluate.report.json import SCHEMA, Document, text, to_json
from vgg16_parity.report.schema import decode

SHIPPED: dict[str, Any] = json.loads(evaluation_schema.FILE.read_text(encoding="utf-8"))


def nothing() -> Evaluation:
    """An evaluation in which no runtime could run, of images without labels."""
    absent = RuntimeAccuracy("jax", "not run", "jax is not installed")
    return evaluation(labelled=0, runtimes=(absent,), pairs=(), disputes=())


def problems(document: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(SHIPPED).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_schema_that_is_shipped_is_that_of_the_records() -> None:
    Draft202012Validator.check_schema(SHIPPED)
    assert evaluation_schema.FILE.read_text(encoding="utf-8") == evaluation_schema.updated()


def test_every_field_is_described() -> None:
    records = [SHIPPED, *SHIPPED["$defs"].values()]
    assert len(records) == 10
    for record in records:
        assert record["description"]
        for name, value in record["properties"].items():
            assert value.get("description"), name


@pytest.mark.parametrize("made", [evaluation(), everything(), nothing()])
def test_documents_are_as_the_schema_has_them(made: Evaluation) -> None:
    document = to_json(made)
    assert problems(document) == []
    assert json.loads(text(made)) == document


def test_a_document_is_the_evaluation_without_its_thumbnails() -> None:
    made = everything()
    assert any(each.thumbnail for each in made.disputes)
    read = decode(Document, to_json(made))
    expected = replace(made, disputes=tuple(replace(each, thumbnail=b"") for each in made.disputes))
    assert (read.schema, read.holds) == (SCHEMA, False)
    for each in fields(Evaluation):
        if each.name != "disputes":
            assert getattr(read, each.name) == getattr(expected, each.name)
    # Null is infinite again.
    assert read.disputes == expected.disputes
    assert "thumbnail" not in text(made)


def test_what_json_cannot_hold_is_null() -> None:
    made = everything()
    pairs = (replace(made.pairs[0], largest_difference=math.inf),)
    document = to_json(replace(made, pairs=pairs))
    assert document["pairs"][0]["largest_difference"] is None
    assert document["disputes"][0]["answers"][1]["margin"] is None
    assert problems(document) == []


@pytest.mark.parametrize("field", ["schema", "summary", "runtimes", "decode_seconds"])
def test_a_document_without_a_field_is_refused(field: str) -> None:
    document = to_json(evaluation())
    del document[field]
    assert problems(document) == [f"$: {field!r} is a required property"]


def test_a_document_with_another_field_or_version_is_refused() -> None:
    assert problems(to_json(evaluation()) | {"more": 1})
    assert problems(to_json(evaluation()) | {"schema": "vgg16-evaluation/2"})


def test_names_are_exact_for_programs_and_harmless_for_people() -> None:
    made = evaluation(dataset=HOSTILE, disputes=(Dispute(HOSTILE, None, (), ()),))
    assert not unseen(text(made))
    document = json.loads(text(made))
    assert document["dataset"] == document["disputes"][0]["name"] == HOSTILE
