"""The report's JSON format as a JSON Schema (``docs/report.md``), and reading a report back."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.resources import files
from typing import Any, Final, NoReturn

from vgg16_parity.records import SCHEMA
from vgg16_spec.errors import BadInput, require_file

Document = dict[str, Any]

_EXPECTED: Final = f"a JSON report of vgg16 parity ({SCHEMA})"


@cache
def schema() -> Document:
    """The JSON Schema of the documents that ``vgg16_parity.records.to_json`` makes."""
    text = (
        files("vgg16_parity.report")
        .joinpath("schemas/parity-report-3.json")
        .read_text(encoding="utf-8")
    )
    found: Document = json.loads(text)
    return found


def read(path: str | os.PathLike[str]) -> Document:
    """A report that was written to a file.

    Raises ``BadInput`` for a file that is missing, no JSON, of another format or version, or whose
    content is not as the schema has it.
    """
    # Where the user waits for nothing else yet.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    path = require_file(path, _EXPECTED)
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as refusal:
        raise BadInput(path, f"is no JSON ({refusal})", _EXPECTED) from refusal
    name = document.get("schema") if isinstance(document, dict) else None
    if name != SCHEMA:
        problem = "names no schema" if name is None else f"is of schema {name!r:.80}"
        raise BadInput(path, problem, _EXPECTED)
    if error := best_match(Draft202012Validator(schema()).iter_errors(document)):
        problem = f"is damaged at {error.json_path}: {error.message:.200}"
        raise BadInput(path, problem, _EXPECTED)
    found: Document = document
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
