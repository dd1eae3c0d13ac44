"""What a checkpoint says about its values: their preprocessing, origin and licence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Metadata:
    """What travels with the values.

    Attributes:
        recipe: the preprocessing recipe that the weights were trained with
            (``vgg16_spec.images.preprocessing.RECIPES``).
        source: the file or the procedure that the values came from.
        source_format: that file's format.
        source_sha256: that file's digest in hexadecimal; empty where there is no file.
        licence: under which the values may be used.
    """

    recipe: str
    source: str = "not stated"
    source_format: str = "not stated"
    source_sha256: str = ""
    licence: str = "not stated"

    def to_json(self) -> str:
        """As text, for formats that have room for it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Metadata | None:
        """What `to_json` gave; ``None`` for any other text."""
        try:
            stored = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(stored, dict) or set(stored) != {field.name for field in fields(cls)}:
            return None
        return cls(**stored) if all(isinstance(v, str) for v in stored.values()) else None
