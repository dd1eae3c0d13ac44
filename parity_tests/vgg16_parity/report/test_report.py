"""From records to the table, the remarks and the JSON document, whose format is documented."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from parity_tests.support.helpers import Command
from parity_tests.support.reports import decision, everything, report, row
from vgg16_parity.records import SCHEMA, Report, to_json
from vgg16_parity.report import schema
from vgg16_parity.report.table import COLUMNS, remarks, table
from vgg16_spec.errors import BadInput

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "report.md"
Place = tuple[str | int, ...]


def problems(document: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(schema.schema()).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema.schema())
    assert schema.schema()["properties"]["schema"]["const"] == SCHEMA


def test_the_worst_tap_and_the_images_that_agree_are_in_the_table() -> None:
    cells = dict(zip(COLUMNS, table(report())[0], strict=True))
    assert cells == {
        "runtime": "torch",
        "parity": "holds",
        "lane": "strict",
        "R": "0.75",
        "Z": "5.00",
        "alone": "0.70",
        "|error|": "1.0e-05",
        "top-1": "1/1",
        "s": "2",
        "GB": "1.5",
    }


def test_a_first_class_that_changed_places_is_counted() -> None:
    swapped = decision(top1=282, top5=(282, 281, 285, 287, 292), outcome="inside")
    case = dataclasses.replace(row().cases[0], decisions=(decision(), swapped))
    cells = dict(zip(COLUMNS, table(report(row(cases=(case,))))[0], strict=True))
    assert cells["top-1"] == "1/2"


def test_a_row_that_did_not_run_has_no_numbers() -> None:
    cells = {line[0]: line for line in table(everything())}
    assert cells["onnx-from-torch"] == ("onnx-from-torch", "not run", "strict", *[""] * 7)
    assert cells["keras-torch"] == ("keras-torch", "failed", "strict", *[""] * 7)


def test_remarks_tell_what_does_not_hold_and_what_is_worth_knowing() -> None:
    assert remarks(report()) == []
    none = "no gradients are compared"
    assert remarks(everything()) == [
        f"torch (strict): {none}",
        "keras-jax (strict) broken: errors are 5 times the predicted size (limit 2)",
        "keras-jax (strict): NaN: one NaN: nothing of it is left at block1_pool",
        f"keras-jax (strict): {none}",
        f"port (strict): {none}",
        "keras-torch (strict) failed: the worker was killed by signal 9",
        "onnx-from-torch (strict) not run: onnxruntime is not installed",
        "torch (default): gradients of 2 tensors, R 1.50 and Z 4.00; "
        "after a step of SGD, R 0.30 and Z 4.00",
    ]


@pytest.mark.parametrize("made", [report(), everything()], ids=["holds", "everything"])
def test_documents_are_as_the_schema_has_them(made: Report) -> None:
    document = to_json(made)
    assert problems(document) == []
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_what_json_cannot_hold_is_null() -> None:
    broken = to_json(everything())["rows"][1]["cases"][0]
    assert broken["layers"][0]["local"]["ratio"] is None
    assert broken["layers"][1]["local"] is None
    assert broken["decisions"][0]["margin"] is None
    assert math.isinf(everything().rows[1].cases[0].decisions[0].margin)


@pytest.mark.slow
def test_a_real_run_is_as_the_schema_has_it(vgg16: Command) -> None:
    arguments = ("--configuration", "tiny", "--runtimes", "torch", "--lanes", "strict", "--json")
    document = json.loads(vgg16("parity", *arguments, "--hard", "--gradients").out)
    assert problems(document) == []
    assert document["rows"][0]["gradients"]
    assert any(not case["layers"] for case in document["rows"][0]["cases"])


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where in a document its objects with fixed names are."""
    if isinstance(value, dict):
        if at[-1:] not in {("versions",), ("flags",), ("seconds",)}:
            yield at
        for name, entry in value.items():
            yield from places(entry, (*at, name))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from places(entry, (*at, index))


@pytest.mark.parametrize("at", [*dict.fromkeys(places(to_json(everything())))], ids=str)
def test_a_field_that_is_not_documented_or_is_missing_is_found(at: Place) -> None:
    document = to_json(everything())
    holder: Any = document
    for step in at:
        holder = holder[step]
    removed = next(iter(holder))
    value = holder.pop(removed)
    assert problems(document)
    holder[removed] = value
    assert problems(document) == []
    holder["undocumented"] = 1
    assert problems(document)


def tables() -> Iterator[str]:
    """The documentation's tables: for each object its title, its meaning and its fields."""
    whole = schema.schema()
    for entry in (whole, *whole["$defs"].values()):
        yield f"## {entry['title']}"
        yield entry["description"]
        yield "| field | type | meaning |"
        for name, field in entry["properties"].items():
            meaning = field["description"].replace("|", "\\|")
            yield f"| `{name}` | {kind(field)} | {meaning} |"


def kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(kind, field["anyOf"]))
    if "$ref" in field:
        title = schema.schema()["$defs"][field["$ref"].rpartition("/")[2]]["title"]
        return f"[{title}](#{title.lower().replace(' ', '-')})"
    if isinstance(field["type"], list):
        return " or ".join(field["type"])
    if field["type"] == "array":
        return f"array of {kind(field['items'])}"
    if field["type"] == "object":
        return f"object of {kind(field['additionalProperties'])}"
    return str(field["type"])


def test_every_field_is_in_the_documentation() -> None:
    lines = DOCUMENTATION.read_text(encoding="utf-8").splitlines()
    assert [line for line in tables() if line not in lines] == []
    assert SCHEMA in "\n".join(lines)


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    document = to_json(everything())
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert schema.read(file) == document


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"schema": NaN}', "is no JSON (NaN is no number)"),
        (b"[]", "names no schema"),
        (b"{}", "names no schema"),
        (b'{"schema": "vgg16-parity-report/1"}', "is of schema 'vgg16-parity-report/1'"),
        (b'{"schema": "vgg16-parity-report/3"}', "is damaged at $: 'holds' is a required property"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "old.json"
    file.write_bytes(content)
    with pytest.raises(BadInput) as refusal:
        schema.read(file)
    assert refusal.value.problem.startswith(problem)
    assert "a JSON report of vgg16 parity" in str(refusal.value)


def test_a_damaged_value_is_named_by_its_place(tmp_path: Path) -> None:
    document = to_json(report())
    document["rows"][0]["cases"][0]["layers"][0]["accumulated"]["ratio"] = "0.5"
    file = tmp_path / "old.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadInput, match=r"damaged at \$\.rows\[0\]\..*\.ratio"):
        schema.read(file)
