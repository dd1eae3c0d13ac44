"""An evaluation as a JSON document, and the schema of the document."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal

from vgg16_parity.evaluate.records import Evaluation
from vgg16_parity.evaluate.report.table import holds, summary
from vgg16_parity.report.schema import schema_of
from vgg16_spec.text import json_text, json_values

SCHEMA: Final = "vgg16-evaluation/1"


@dataclass(frozen=True, kw_only=True)
class Document(Evaluation):
    """The evaluation of one ``vgg16 evaluate``.

    Attributes:
        schema: name and version of this format.
        holds: whether a runtime was measured, none failed, and rounding explains every changed
            answer.
        summary: the outcome in one line.
    """

    schema: Literal["vgg16-evaluation/1"]
    holds: bool
    summary: str


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The document as JSON values: without thumbnails; what is infinite is null."""
    head = {"schema": SCHEMA, "holds": holds(evaluation), "summary": summary(evaluation)}
    found: dict[str, Any] = json_values(dataclasses.asdict(evaluation, dict_factory=_without_bytes))
    return head | found


def text(evaluation: Evaluation) -> str:
    """The same as the text of a file."""
    return json_text(to_json(evaluation)) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of the documents; ``evaluation-1.schema.json`` has it for other programs."""
    return schema_of(Document, "urn:vgg16-evaluation:1")


def _without_bytes(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if not isinstance(value, bytes)}
