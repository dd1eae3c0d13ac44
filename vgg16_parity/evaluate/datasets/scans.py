"""What a data set says of its images before any is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from typing import Final

from vgg16_parity.evaluate.datasets.items import Kind, Skipped
from vgg16_parity.evaluate.datasets.places import StoredPlace
from vgg16_parity.evaluate.datasets.storage import joined, listing, parted, shown, what_is
from vgg16_spec.errors import BadInput

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
# More files than any data set has; {0..999999999} is a slip.
_MOST_FILES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """An image, its label as the data set writes it (empty without), and its place."""

    name: str
    label: str
    place: StoredPlace


@dataclass
class Scan:
    """What is in a data set.

    Attributes:
        kind: how it is kept.
        found: its images, in a fixed order.
        own: the names of its classes in its own order; None where it has no order.
        what: what its labels are called.
        skipped: what belongs to it and is no image that can be read.
        ignored: how many files are no images by their names.
        notes: what else the user should know of the labels.
    """

    kind: Kind
    found: list[Found]
    own: tuple[str, ...] | None = None
    what: str = "labels"
    skipped: list[Skipped] = field(default_factory=list)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)


def several_files(location: str) -> list[tuple[str, str]]:
    """The root and the name of each file that a pattern means: ``a-{000..146}.tar``, ``a-*.tar``.

    Raises ``BadInput`` where there is none, and for too many.
    """
    names: list[str] = []
    for name in _expanded(location):
        if len(names) == _MOST_FILES:
            raise BadInput(shown(location), f"means more than {_MOST_FILES:,} files", "fewer files")
        names.append(name)
    files: list[tuple[str, str]] = []
    for name in names:
        root, last = parted(name)
        if re.search(r"[*?]", last):
            if what_is(root) != "folder":
                raise BadInput(shown(root), "no such folder", "the folder of the data set")
            below = listing(root).files
            found = [file for file in below if "/" not in file and fnmatchcase(file, last)]
            if not found:
                raise BadInput(shown(name), "matches no file", "the files of a data set")
            files += [(root, file) for file in found]
        elif what_is(name) != "file":
            raise BadInput(shown(joined(root, last)), "no such file", "a file for each number")
        else:
            files.append((root, last))
    return files


def _expanded(text: str) -> Iterator[str]:
    """The text with each pair of braces replaced by what it means, one after another."""
    texts = _BRACES.split(text)
    for parts in product(*map(_alternatives, texts[1::2])):
        merged = [texts[0]]
        for part, rest in zip(parts, texts[2::2], strict=True):
            merged += part, rest
        yield "".join(merged)


def _alternatives(inside: str) -> list[str]:
    if match := _RANGE.fullmatch(inside):
        first, last = int(match[1]), int(match[2])
        if abs(last - first) >= _MOST_FILES:
            raise BadInput(f"{{{inside}}}", f"means more than {_MOST_FILES:,} files", "fewer files")
        # Zeros in front are part of the names: {000..146}.
        width = max(map(len, match.groups())) if "0" in (match[1][0], match[2][0]) else 0
        step = 1 if first <= last else -1
        return [f"{number:0{width}}" for number in range(first, last + step, step)]
    return inside.split(",") if "," in inside else [f"{{{inside}}}"]
