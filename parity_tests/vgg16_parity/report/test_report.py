"""From records to the JSON document, whose format is documented."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from parity_tests.support.helpers import Command
from parity_tests.support.pages import report_page
from parity_tests.support.pages.reports import METADATA, everything, report, row, verdict
from vgg16_parity.records import Report
from vgg16_parity.report import schema
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.json import Change, Document, encode, to_json
from vgg16_parity.verdicts import BesideCpu, GradientVerdict, LayerVerdict
from vgg16_spec.errors import BadInput

Place = tuple[str | int, ...]

RELEASED: dict[str, Any] = json.loads(
    Path(__file__).with_name("parity-report-3.json").read_text(encoding="utf-8")
)


def without(value: Any, names: set[str]) -> Any:
    """A document without the fields of these names, wherever they are."""
    if isinstance(value, list):
        return [without(each, names) for each in value]
    if isinstance(value, dict):
        return {name: without(each, names) for name, each in value.items() if name not in names}
    return value


def problems(document: dict[str, Any]) -> list[str]:
    """Where a document, without what was added since, is not as the released schema has it."""
    added = {name for names in ADDED.values() for name in names}
    found = Draft202012Validator(RELEASED).iter_errors(without(document, added))
    return [f"{error.json_path}: {error.message}" for error in found]


def constraints(node: Any, definitions: dict[str, Any]) -> Any:
    """What a schema requires, in one form: no references, descriptions or titles."""
    if isinstance(node, list):
        return [constraints(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return constraints(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in node and "$ref" not in node["anyOf"][0]:
        (value, null) = node["anyOf"]
        node = value | {"type": [value["type"], null["type"]]}
    ignored = ("$schema", "$id", "$defs", "title", "description")
    return {
        key: value
        if key in ("enum", "required", "const", "type")
        else {name: constraints(entry, definitions) for name, entry in value.items()}
        if key == "properties"
        else constraints(value, definitions)
        for key, value in node.items()
        if key not in ignored
    }


# Fields that the released schema lacks; a document has them where they say something.
ADDED = {
    "Metadata": ("preprocessing", "labels"),
    "Weights": ("recipe_assumed",),
    "Row": ("probes", "coverage"),
    "Record": ("own_mode",),
    "Verdict": ("ratio_limit",),
}


def test_the_schema_requires_what_the_released_one_does() -> None:
    derived = schema.schema()
    Draft202012Validator.check_schema(derived)
    for record, names in ADDED.items():
        found = derived["$defs"][record]
        assert not {*names} & {*found["required"]}
        for name in names:
            del found["properties"][name]
    assert constraints(derived, derived["$defs"]) == constraints(RELEASED, RELEASED["$defs"])


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
    assert len(document["rows"][0]["probes"]) == 21
    assert problems(document) == []
    assert document["rows"][0]["gradients"]
    assert any(not case["layers"] for case in document["rows"][0]["cases"])


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where in a document its values are; of equal entries of a list, the first and the last."""
    yield at
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from places(entry, (*at, name))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1}) if value else ():
            yield from places(value[index], (*at, index))


def damaged(document: dict[str, Any], at: Place) -> Iterator[dict[str, Any]]:
    """The document with its value there changed, missing, or beside another."""

    def changed(change: Callable[[Any, str | int], object]) -> dict[str, Any]:
        holder: Any = (copied := copy.deepcopy(document))
        for step in at[:-1]:
            holder = holder[step]
        change(holder, at[-1])
        return copied

    for value in (None, True, -1, 1, 1.0, 0.5, 1e400, "", "x", [], [1.0], [None], {}, {"x": "x"}):
        yield changed(lambda holder, step, value=value: operator.setitem(holder, step, value))  # type: ignore[misc]
    yield changed(operator.delitem)
    yield changed(lambda holder, _: holder.update(extra=1) if isinstance(holder, dict) else None)


def accepts(document: dict[str, Any]) -> bool:
    try:
        schema.decode(Document, document)
    except ValidationError:
        return False
    return True


def test_what_the_released_schema_accepts_and_refuses_is_as_before() -> None:
    judged = dataclasses.replace(verdict(), histogram=(1,))
    layer = LayerVerdict("fc1", judged, judged)
    case = dataclasses.replace(row().cases[0], layers=(layer,), notes=("a note",))
    gradient = GradientVerdict("fc2.weight", judged)
    beside = BesideCpu("photographs", (LayerVerdict("fc1", judged),))
    one_of_each = row(cases=(case,), gradients=(gradient,), beside_cpu=(beside,))
    document = to_json(report(one_of_each), [Change("run", "device", "cpu", "cuda")])
    released = Draft202012Validator(RELEASED)
    assert released.is_valid(document)
    found = Counter[bool]()
    for at in places(document):
        for changed in damaged(document, at) if at else ():
            expected = released.is_valid(changed)
            assert accepts(changed) == expected, at
            found[expected] += 1
    assert min(found.values()) > 100


def test_the_documentation_lists_every_field() -> None:
    assert report_page.PAGE.read_text(encoding="utf-8") == report_page.updated()


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = everything()
    file = tmp_path / "report.json"
    file.write_text(json.dumps(to_json(made)), encoding="utf-8")
    assert schema.read(file) == Document.of(made)
    assert encode(schema.read(file)) == {**to_json(made), "moved": None}


def test_a_recipe_and_labels_of_ones_own_are_in_the_document_and_read_back(tmp_path: Path) -> None:
    plain = report()
    labels = json.dumps([f"class {index}" for index in range(plain.weights.classes)])
    stated = replace(METADATA, recipe="own", preprocessing='{"scale": 2}', labels=labels)
    weights = replace(plain.weights, metadata=stated, recipe_assumed=True)
    made = replace(plain, weights=weights)
    document = to_json(made)
    assert document["weights"]["recipe_assumed"] is True
    assert document["weights"]["metadata"]["preprocessing"] == '{"scale": 2}'
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert schema.read(file) == Document.of(made)
    assert not {*ADDED["Metadata"]} & {*to_json(plain)["weights"]["metadata"]}
    (moved,) = (
        change
        for change in diff_reports(Document.of(plain), Document.of(made))
        if "labels" in change.what
    )
    assert len(moved.after) == 64


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"schema": NaN}', "is not valid JSON (NaN is not a number)"),
        (b"[]", "names no schema"),
        (b"{}", "names no schema"),
        (b'{"schema": "vgg16-parity-report/1"}', "has the schema 'vgg16-parity-report/1'"),
        (b'{"schema": "vgg16-parity-report/3"}', "is damaged at $.holds: Field required"),
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
