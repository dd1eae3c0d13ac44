"""What a checkpoint says about its values: their preprocessing, origin and licence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from vgg16_spec import labels
from vgg16_spec.errors import BadInput, counted
from vgg16_spec.files.digest import digest
from vgg16_spec.files.text import read_json
from vgg16_spec.images.recipes import RECIPES, Recipe, recipe_from, recipe_named, settled

# As an escaped text in the header of a safetensors file, which has room for a mebibyte: of all
# formats, that takes the most. Readers refuse, or take for another program's, what is longer.
MOST_BYTES: Final = 15 << 16
# Of a field that is not written where it is empty.
_MAY_BE_ABSENT: Final = MappingProxyType({"may be absent": True})


@dataclass(frozen=True)
class Metadata:
    """What travels with the values.

    Attributes:
        recipe: the name of the preprocessing recipe that the weights were trained with, one of
            ``vgg16_spec.images.recipes.RECIPES`` or one's own.
        source: the file or the procedure that the values came from.
        source_format: that file's format.
        source_sha256: that file's digest in hexadecimal; empty where there is no file.
        licence: under which the values may be used.
        preprocessing: the recipe itself, as JSON; absent where it is one of ``RECIPES``.
        labels: the classes' names in the order of the outputs, as a JSON list; absent where they
            are ImageNet's or not known.
    """

    recipe: str
    source: str = "not stated"
    source_format: str = "not stated"
    source_sha256: str = ""
    licence: str = "not stated"
    preprocessing: str = field(default="", metadata=_MAY_BE_ABSENT)
    labels: str = field(default="", metadata=_MAY_BE_ABSENT)

    @classmethod
    def of_file(cls, recipe: str, path: Path, source_format: str) -> Metadata:
        """What is known of a file that states nothing. Bytes of its name that are no text are
        escaped: formats store text.
        """
        name = path.name.encode("utf-8", "backslashreplace").decode()
        return cls(recipe, name, source_format, digest(path))

    def check_writable(self, label: str) -> None:
        """Raise ``BadInput`` for metadata of ``label`` that not every format gives back equal."""
        for name, text in self.stated().items():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                character = f"U+{ord(text[error.start]):04X}"
                problem = f"its {name} has {character} in it, half of a pair"
                raise BadInput(label, problem, "metadata that UTF-8 can write") from error
        sizes = {name: _size(text) for name, text in self.stated().items()}
        if (size := _size(self.to_json())) > MOST_BYTES:
            most = max(sizes, key=sizes.__getitem__)
            problem = f"its metadata take {size:,} bytes, most of them its {most}"
            raise BadInput(label, problem, f"{MOST_BYTES:,} bytes at most")

    def stated(self) -> dict[str, str]:
        """The fields to write: the first five always, the others where they are not empty."""
        return {name: text for name, text in asdict(self).items() if text or name not in _OPTIONAL}

    def recipe_record(self, label: str) -> Recipe:
        """The recipe, which is that of ``label``.

        Raises ``BadInput`` for a name that is unknown, and for values that no recipe has.
        """
        if not self.preprocessing:
            return recipe_named(self.recipe, label)
        label = f"{label}: its recipe"
        try:
            stated = read_json(self.preprocessing)
        except ValueError as error:
            raise BadInput(label, f"cannot be read ({error!s:.100})") from error
        return recipe_from(stated, label, self.recipe)

    def with_recipe(self, recipe: str | Recipe) -> Metadata:
        """The same with another recipe, by a name or its values."""
        if isinstance(recipe, str):
            return replace(self, recipe=recipe, preprocessing="")
        recipe = settled(recipe, "recipe")
        own = "" if recipe.name in RECIPES else recipe.to_json()
        return replace(self, recipe=recipe.name, preprocessing=own)

    def class_names(self, classes: int, label: str) -> tuple[str, ...]:
        """Output index -> name: those stated, or ImageNet's where there are as many.

        Raises ``BadInput`` where those that ``label`` states cannot be used for so many classes.
        """
        if not self.labels:
            return labels.class_names(classes)
        expected = f"{counted(classes, 'name')}, one for each class"
        try:
            names = labels.from_json(self.labels)
        except ValueError as error:
            problem = f"its labels cannot be used ({error!s:.100})"
            raise BadInput(label, problem, expected) from error
        if len(names) != classes:
            raise BadInput(label, f"it has {counted(len(names), 'label')}", expected)
        return names

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


def _size(text: str) -> int:
    """How many bytes a text takes as a text of JSON."""
    return len(json.dumps(text))


_OPTIONAL: Final = {f.name for f in fields(Metadata) if f.metadata == _MAY_BE_ABSENT}
