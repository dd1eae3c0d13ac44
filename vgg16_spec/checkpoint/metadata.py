"""What a checkpoint says about its values: their preprocessing, origin and licence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Metadata:
    """What travels with the values.

    Attributes:
        recipe: the preprocessing recipe that the weights were trained with
            (``vgg16_spec.images.recipes.RECIPES``).
        source: the file or the procedure that the values came from.
        source_format: that file's format.
        source_sha256: that file's digest in hexadecimal; empty where there is no file.
        licence: under which the values may be used.
        preprocessing: the recipe itself, as JSON, where it is not one of ``RECIPES``.
        labels: the classes' names in the order of the outputs, as a JSON list; empty where they are
            ImageNet's or not known.
    """

    recipe: str
    source: str = "not stated"
    source_format: str = "not stated"
    source_sha256: str = ""
    licence: str = "not stated"
    preprocessing: str = ""
    labels: str = ""

    def stated(self) -> dict[str, str]:
        """The fields to write: the first five always, the others where they are not empty."""
        return {name: text for name, text in asdict(self).items() if text or name not in _OPTIONAL}

    def to_json(self) -> str:
        """As text, for formats that have room for it."""
        return json.dumps(self.stated())

    @classmethod
    def from_json(cls, text: str | bytes) -> Metadata | None:
        """What `to_json` gave; ``None`` for any other text."""
        try:
            stored = json.loads(text)
        except (ValueError, RecursionError):
            return None
        names = {field.name for field in fields(cls)}
        if not isinstance(stored, dict) or not names - _OPTIONAL <= set(stored) <= names:
            return None
        return cls(**stored) if all(isinstance(v, str) for v in stored.values()) else None


_OPTIONAL = {"preprocessing", "labels"}
