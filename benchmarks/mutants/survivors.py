"""Changes that are known to survive, with the reason why each may."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from benchmarks.mutants.changes import Key
from vgg16_spec.errors import BadInput

LISTED: Final = Path("benchmarks", "mutants", "survivors.toml")


def listed(path: Path) -> dict[Key, str]:
    """The listed survivors and their reasons.

    Raises:
        BadInput: the file is not TOML, or an entry lacks a field or has one too many.
    """
    found: dict[Key, str] = {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadInput(path, str(error)) from error
    for entry in entries:
        if set(entry) != {*Key._fields, "why"}:
            expected = ", ".join((*Key._fields, "why"))
            raise BadInput(path, f"an entry has {', '.join(entry)}", expected)
        found[Key(*(entry[field] for field in Key._fields))] = entry["why"]
    return found
