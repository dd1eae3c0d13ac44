"""Text files that say which images there are, or which labels they have.

A line has a file and a label, as in Caffe's ``val.txt``; or only one of them. A table in CSV or TSV
may have a header, in any order; Kaggle's ``LOC_val_solution.csv`` has no suffixes and boxes behind
the labels.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, Final, cast

from vgg16_parity.evaluate.datasets.places import IMAGES
from vgg16_parity.evaluate.datasets.storage import joined, opened, shown
from vgg16_spec.errors import BadInput

SUFFIXES: Final = (".txt", ".csv", ".tsv")
_EXPECTED: Final = "a line for each image: its file, then its label"
# A path of the longest that Linux takes, and a label.
_MOST_CHARACTERS: Final = 1 << 13
# Ten million images.
_MOST_LINES: Final = 10_000_000
_FILES: Final = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path"),
    *("imageid", "image_id", "id", "img", "name"),
)
_LABELS: Final = (
    *("label", "labels", "class", "class_id", "classid", "class_idx", "class_index", "target"),
    *("predictionstring", "synset", "wnid", "category", "class_name", "classname"),
)
_BOXES: Final = "predictionstring"
_SUFFIX: Final = "|".join(sorted((suffix[1:] for suffix in IMAGES), key=len, reverse=True))
# The path may have blanks, and so may the label: the last suffix of an image parts them.
_FILE_AND_LABEL: Final = re.compile(rf"(.*\.(?:{_SUFFIX}))(?:\s*[,;\t ]\s*(.*))?", re.IGNORECASE)
# The label of an image that has none, as in Hugging Face's test sets.
NO_LABEL: Final = ("", "-1")


@dataclass(frozen=True, slots=True)
class Row:
    """A line: the file and the label as written, empty where there is none."""

    file: str
    label: str


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return f".{name.rpartition('.')[2].lower()}" in IMAGES


def read_table(root: str, name: str) -> list[Row]:
    """The lines of a file, without a header.

    Raises ``BadInput`` for a file that is missing, not UTF-8 text, or has lines longer than any
    path.
    """
    location = shown(joined(root, name))
    rows: list[Row] = []
    try:
        with opened(root, name) as binary:
            text = TextIOWrapper(cast(IO[bytes], binary), "utf-8-sig", newline="")
            for row in _rows(text, name.lower()):
                if len(rows) >= _MOST_LINES:
                    raise BadInput(location, f"has more than {_MOST_LINES:,} lines", _EXPECTED)
                rows.append(row)
    except UnicodeDecodeError as error:
        raise BadInput(location, "is not UTF-8 text", _EXPECTED) from error
    except (csv.Error, _NoTable) as error:
        raise BadInput(location, f"is no table ({error})", _EXPECTED) from error
    except OSError as error:
        raise BadInput(location, f"cannot be read ({error.strerror})", _EXPECTED) from error
    if not rows:
        raise BadInput(location, "has no lines", _EXPECTED)
    return rows


def only_labels(rows: Sequence[Row]) -> bool:
    """Whether the lines are labels alone, which stand for the images in the order of names."""
    return not any(row.label or is_image(row.file) for row in rows)


class _NoTable(ValueError):
    """Says what a line has that no table does."""


def _rows(text: TextIOWrapper, name: str) -> Iterator[Row]:
    lines = _lines(text)
    if name.endswith((".csv", ".tsv")):
        yield from _columns(lines, "\t" if name.endswith(".tsv") else "")
        return
    for line in lines:
        if not (bare := line.strip()):
            continue
        if found := _FILE_AND_LABEL.fullmatch(bare):
            yield Row(found[1], _label(found[2] or ""))
        else:
            file, _, label = bare.partition("\t") if "\t" in bare else _last_part(bare)
            yield Row(file.strip(), _label(label))


def _last_part(line: str) -> tuple[str, str, str]:
    file, blank, label = line.rpartition(" ")
    return (file, blank, label) if file else (line, "", "")


def _lines(text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_MOST_CHARACTERS):
        number += 1
        if len(line) == _MOST_CHARACTERS and line[-1] not in "\r\n":
            raise _NoTable(f"line {number} has more than {_MOST_CHARACTERS:,} characters")
        if "\0" in line:
            raise _NoTable(f"line {number} has a NUL character")
        yield line


def _columns(lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    first = next((line for line in lines if line.strip()), "")
    delimiter = delimiter or max(",;\t", key=first.count)
    rows = csv.reader(_after(first, lines), delimiter=delimiter, strict=True)
    header = next(rows, [])
    names = [field.strip().lower() for field in header]
    file = _first(names, _FILES)
    label = _first(names, _LABELS)
    if (file is None and label is None) or any(map(is_image, header)):
        pictures = (index for index, field in enumerate(header) if is_image(field.strip()))
        file = next(pictures, 0)
        label = next((index for index in range(len(header)) if index != file), None)
        names = []
        yield _row(header, file, label)
    elif file is None and len(header) > 1:
        file = next(index for index in range(len(header)) if index != label)
    boxes = label is not None and names[label : label + 1] == [_BOXES]
    for fields in rows:
        if any(field.strip() for field in fields):
            row = _row(fields, file, label)
            yield Row(row.file, row.label.split()[0]) if boxes and row.label else row


def _after(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


def _first(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((index for index, name in enumerate(names) if name in known), None)


def _row(fields: Sequence[str], file: int | None, label: int | None) -> Row:
    def field(index: int | None) -> str:
        return fields[index].strip() if index is not None and index < len(fields) else ""

    # A table of labels alone: they stand where files stand elsewhere.
    if file is None:
        return Row(field(label), "")
    return Row(field(file), _label(field(label)))


def _label(text: str) -> str:
    text = text.strip()
    return "" if text in NO_LABEL else text
