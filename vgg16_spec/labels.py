"""The names of classes: ImageNet's, which come with the project, and those of one's own.

ImageNet's 1000 (ILSVRC 2012) stand in the order of the network's outputs. A name is the first word
that WordNet lists for the class's synset; the two cranes and the two maillots are told apart in
brackets.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.text import read_json, read_text

_EXPECTED: Final = "the classes' names, one a line or as JSON"
_MOST_BYTES: Final = 1 << 22
_MOST_CHARACTERS: Final = 200
# What would end a line, or print the rest of it backwards.
_REFUSED: Final = ("Cc", "Cs", "Zl", "Zp")
_REVERSING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Output index -> name."""
    table = files("vgg16_spec").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return tuple(line.partition("\t")[2] for line in table.splitlines())


def class_names(classes: int) -> tuple[str, ...]:
    """Output index -> name, where a checkpoint states none."""
    return tuple(class_name(index, classes) for index in range(classes))


def class_name(index: int, classes: int) -> str:
    """The name of an output; its number where the network has other classes than ImageNet's."""
    names = imagenet_classes()
    return names[index] if classes == len(names) else f"class {index}"


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Output index -> name, from a file; two classes may have one name.

    The file has a line a class, or is JSON: a list of the names; an object index -> name, as
    ``id2label`` in the ``config.json`` of Hugging Face's models, or index -> [WordNet's id, name],
    as in Keras's ``imagenet_class_index.json``; or an object name -> index, as torchvision's
    ``class_to_idx``.

    Raises ``BadInput`` for a file that cannot be read, for indices that are not 0, 1, 2, …, each
    once, and for a name that is empty, very long or has control characters.
    """
    text = read_text(path, _EXPECTED, _MOST_BYTES)
    bare = text.strip()
    is_json = os.fspath(path).lower().endswith(".json") or bare[:1] + bare[-1:] in ("[]", "{}")
    try:
        return _checked(_of_document(read_json(text)) if is_json else _of_lines(text))
    except ValueError as error:
        raise BadInput(path, f"{error!s:.160}", _EXPECTED) from error


def to_json(names: Sequence[str]) -> str:
    """The names as a checkpoint's metadata have them."""
    return json.dumps(list(names), ensure_ascii=False)


def from_json(text: str) -> tuple[str, ...]:
    """What `to_json` gave. Raises ``ValueError`` for any other text."""
    names = read_json(text)
    if not isinstance(names, list):
        raise ValueError("they are not a list")
    return _checked(names)


def _checked(entries: Sequence[object]) -> tuple[str, ...]:
    """The names. Raises ``ValueError`` that says which cannot be used, and why."""
    if not entries:
        raise ValueError("it has no names")
    names: list[str] = []
    for index, name in enumerate(entries):
        if not isinstance(name, str):
            raise ValueError(f"the name of class {index} is not text")
        if not name.strip():
            raise ValueError(f"class {index} has an empty name")
        if len(name) > _MOST_CHARACTERS:
            raise ValueError(f"class {index} has a name of {len(name)} characters")
        if not name.isprintable() and (character := _refused(name)):
            raise ValueError(f"class {index} has the character U+{ord(character):04X} in its name")
        names.append(name)
    return tuple(names)


def _refused(name: str) -> str:
    """The first character that is not to be printed; empty where there is none."""
    found = (c for c in name if unicodedata.category(c) in _REFUSED or _REVERSING.match(c))
    return next(found, "")


def _of_lines(text: str) -> Sequence[str]:
    """A name a line; empty lines at the end do not count."""
    if not text.strip():
        return []
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text.rstrip())]
    if "" in lines:
        raise ValueError(f"line {lines.index('') + 1} is empty")
    numbers = [int(m[1]) for line in lines if (m := re.match(r"([0-9]{1,9})[\s:,;]", line))]
    # Lines that say an index each, but do not stand in its order.
    if numbers != sorted(numbers) and sorted(numbers) in (
        list(range(len(lines))),
        list(range(1, len(lines) + 1)),
    ):
        raise ValueError("its lines begin with numbers that are not in order")
    return lines


def _of_document(document: Any) -> Sequence[object]:
    """The names in a JSON document, by index."""
    if isinstance(document, list):
        return [_name(entry) for entry in document]
    if not isinstance(document, dict):
        raise ValueError("it is neither a list nor an object")
    for key in ("id2label", "label2id"):
        if isinstance(document.get(key), dict):
            document = document[key]
            break
    by_index = _by_index(document)
    if sorted(by_index) != list(range(len(document))):
        raise ValueError(f"its indices are not 0 to {len(document) - 1}, each once")
    return [by_index[index] for index in range(len(by_index))]


def _by_index(document: Mapping[str, object]) -> dict[int, object]:
    """Index -> name, from that or from its inverse."""
    inverse = {i: name for name, i in document.items() if type(i) is int}  # True is not an index
    if len(inverse) == len(document):
        return dict(inverse)
    if all(key.isascii() and key.isdigit() and len(key) < 10 for key in document):
        return {int(key): _name(entry) for key, entry in document.items()}
    raise ValueError("neither its keys nor its values are indices")


def _name(entry: object) -> object:
    """A name, also where it comes after WordNet's id."""
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else entry
