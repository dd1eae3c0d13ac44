"""The fields of the report in ``docs/report.md``, from the records.

``python -m parity_tests.support.pages.report_page`` writes them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vgg16_parity.report.schema import schema

PAGE: Final = Path(__file__).parents[3] / "docs" / "report.md"
# What follows is written by this file.
_START: Final = "## Document\n"


def updated() -> str:
    """The page with the fields as they are."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(_START)[0] + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    """A heading and a table for each record, in the order in which they are first mentioned."""
    whole = schema()
    records = {whole["title"]: whole}
    while True:
        unseen = [name for record in records.values() for name in _named(record)]
        unseen = [name for name in dict.fromkeys(unseen) if name not in records]
        if not unseen:
            break
        records |= {name: whole["$defs"][name] for name in unseen}
    for name, record in records.items():
        if name != whole["title"]:
            yield ""
        yield f"## {name}"
        yield f"\n{record['description']}\n"
        yield "| field | type | meaning |"
        yield "|---|---|---|"
        for field, value in record["properties"].items():
            meaning = value["description"].replace("|", "\\|")
            yield f"| `{field}` | {_type(value)} | {meaning} |"


def _named(record: dict[str, Any]) -> Iterator[str]:
    """The records that a record's fields hold."""
    for field in record["properties"].values():
        for value in (field, field.get("items", {}), *field.get("anyOf", [])):
            if "$ref" in value:
                yield value["$ref"].rpartition("/")[2]


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if field["type"] == "array":
        return f"array of {_type(field['items'])}"
    if field["type"] == "object":
        return f"object of {_type(field['additionalProperties'])}"
    return str(field["type"])


if __name__ == "__main__":
    PAGE.write_text(updated(), encoding="utf-8")
