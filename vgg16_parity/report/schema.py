"""The JSON format of a report, derived from the types and the docstrings of its records."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import re
import typing
from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, Final, NoReturn, NotRequired, TypeVar, cast

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field
from typing_extensions import TypedDict

from onnx_arbiter.compare import Verdict
from vgg16_parity.report.json import SCHEMA, Document
from vgg16_parity.verdicts import Decision
from vgg16_spec.errors import BadInput, require_file

_EXPECTED: Final = f"a JSON report of vgg16 parity ({SCHEMA})"

_Record = TypeVar("_Record")


def read(path: str | os.PathLike[str]) -> Document:
    """Read a report from a file.

    Raises:
        BadInput: for a missing file, invalid JSON, another format or version, or a document that
            does not match the schema.
    """
    path = require_file(path, _EXPECTED)
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as refusal:
        raise BadInput(path, f"is not valid JSON ({refusal})", _EXPECTED) from refusal
    name = document.get("schema") if isinstance(document, dict) else None
    if name != SCHEMA:
        problem = "names no schema" if name is None else f"has the schema {name!r:.80}"
        raise BadInput(path, problem, _EXPECTED)
    try:
        return decode(Document, document)
    except pydantic.ValidationError as refusal:
        first = refusal.errors(include_url=False)[0]
        place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
        raise BadInput(path, f"is damaged at ${place}: {first['msg']}", _EXPECTED) from refusal


def decode(record: type[_Record], value: Any) -> _Record:
    """The inverse of ``vgg16_parity.report.json.encode``.

    Raises:
        pydantic.ValidationError: if the values do not match the record.
    """
    found: _Record = _adapter(cast(Hashable, record)).validate_python(value)
    return found


def schema() -> dict[str, Any]:
    """The JSON Schema of the documents, with the description of every field."""
    return schema_of(Document, "urn:vgg16-parity-report:3")


def schema_of(record: type, identifier: str) -> dict[str, Any]:
    """The JSON Schema of a record's documents, which ``identifier`` names.

    A field's metadata may say ``may be absent``, ``may be infinite``, which is null in JSON, or
    ``not in JSON``.
    """
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    described = _adapter(cast(Hashable, record)).json_schema()
    return dialect | {"$id": identifier} | described


@cache
def _adapter(record: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_object(record))


@cache
def _object(record: Any) -> Any:
    """The type of a record's JSON object: every field is required, and no other is allowed."""
    hints = typing.get_type_hints(record, include_extras=True)
    summary, descriptions = _described(record)
    members = {}
    for each in dataclasses.fields(record):
        if each.metadata.get("not in JSON"):
            continue
        absent = bool(each.metadata.get("may be absent"))
        # All figures of these two records may be infinite.
        infinite = record in (Verdict, Decision) or bool(each.metadata.get("may be infinite"))
        value = _value(hints[each.name], nullable=infinite and not absent)
        if absent:
            # Absent where it would be null.
            arguments = typing.get_args(value)
            value = NotRequired[arguments[0] if type(None) in arguments else value]
        members[each.name] = Annotated[value, Field(description=descriptions.get(each.name))]
    create: Any = TypedDict
    kind = create(record.__name__, members)
    kind.__doc__ = summary
    kind.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True)
    return Annotated[kind, AfterValidator(lambda found: record(**found))]


def _value(hint: Any, *, nullable: bool = False) -> Any:
    """The type of a JSON value for a field's type hint; numbers are not negative."""
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _object(cast(Any, hint))
    if hint is int:
        return Annotated[int, Field(ge=0), BeforeValidator(_integer)]
    if hint is float:
        figure = Annotated[float, Field(ge=0)]
        return Annotated[figure | None, AfterValidator(_figure)] if nullable else figure
    if typing.get_origin(hint) is Annotated:
        return Annotated[hint, BeforeValidator(_integer)]
    if typing.get_origin(hint) is tuple:
        return Annotated[list[_value(arguments[0])], AfterValidator(tuple)]  # type: ignore[misc]
    if typing.get_origin(hint) is dict:
        return dict[str, _value(arguments[1])]  # type: ignore[misc]
    if type(None) in arguments:
        return _value(arguments[0]) | None
    return hint


def _integer(value: Any) -> Any:
    """In JSON, 1.0 is an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _figure(value: float | None) -> float:
    return math.inf if value is None else value


def _described(record: type) -> tuple[str, dict[str, str]]:
    """A docstring's summary, and its description of each attribute."""
    texts = [inspect.cleandoc(each.__doc__ or "").replace("``", "`") for each in record.__mro__]
    # A record has the fields of those that it extends.
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", "\n".join(texts), re.MULTILINE)
    lines = {name: " ".join(said.split()) for name, said in reversed(entries)}
    summary = texts[0].partition("\nAttributes:\n")[0]
    return " ".join(summary.split()), {k: said[0].upper() + said[1:] for k, said in lines.items()}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
