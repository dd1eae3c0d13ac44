"""Parquet files with encoded images in a column: Hugging Face's layout, or a plain binary column.

Labels are read from their own column. Images are read a row at a time, in their order: neither a
file nor a row group is ever whole in memory.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.datasets.places import MOST_EXPANSION, held, require_size
from vgg16_parity.evaluate.datasets.scans import Found, Scan
from vgg16_parity.evaluate.datasets.storage import joined, modules, open_file, shown, version
from vgg16_parity.evaluate.datasets.tables import NO_LABEL
from vgg16_spec.errors import BadInput, few
from vgg16_spec.files.text import read_json

SUFFIXES: Final = (".parquet", ".pq")
_EXPECTED: Final = "a Parquet file with a column of encoded images"
_LABELS: Final = (
    *("label", "labels", "class", "class_id", "cls", "target", "category", "fine_label"),
    *("synset", "wnid", "class_name"),
)
_IMAGES: Final = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes")
# Bytes that are read of a column at a time.
_BUFFER: Final = 1 << 20
_LABEL_ROWS: Final = 1 << 14
# Bytes of images that a row group may have however small its file is.
_LEAST_ROOM: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class ParquetPlace:
    """A row of a Parquet file: of which row group, counted inside of it, and of which column.

    The column is ``image.bytes`` where images have a file's name too.
    """

    root: str
    name: str
    group: int
    row: int
    column: str

    @property
    def container(self) -> Hashable:
        """The file, which is read forwards."""
        return self.root, self.name

    def blocks(self) -> Iterator[bytes]:
        """The image in one piece. Raises as `read` does."""
        yield self.read()

    def read(self) -> bytes:
        """The image. Raises ``BadInput`` where the file has changed, or has none in this row."""
        location = shown(joined(self.root, self.name))
        key = (self.root, self.name, self.group, self.column)
        rows: _Rows = held((key, version(self.root, self.name)), lambda: _Rows(*key))
        if rows.next > self.row:
            rows.close()
            rows.restart()
        with _refused(location):
            value = rows.value(self.row)
        if value is None:
            raise BadInput(location, "has no bytes in this row", _EXPECTED)
        require_size(location, len(value))
        return value


class _Rows:
    """The rows of one row group's column, one after another."""

    def __init__(self, root: str, name: str, group: int, column: str) -> None:
        self._place = (root, name, group, column)
        self.restart()

    def restart(self) -> None:
        """Begin with the first row."""
        root, name, group, column = self._place
        self._file = None
        self._file = _ParquetFile(root, name)
        self.next, self._room = 0, max(_LEAST_ROOM, MOST_EXPANSION * self._file.size)
        self._error: Exception | None = None
        with _refused(self._file.location):
            self._batches = self._file.batches(column, rows=1, group=group)

    def value(self, row: int) -> bytes | None:
        """The value of a row that is not passed yet."""
        while True:
            # The rows behind a damaged one would each be looked for from the start.
            if self._error is not None:
                raise self._error
            try:
                if (batch := next(self._batches, None)) is None:
                    raise IndexError("it has fewer rows")
                # Rows may all be one value of a dictionary.
                self._room -= batch.nbytes
                if self._room < 0:
                    raise ValueError(f"its images have over {MOST_EXPANSION} times its size")
            except Exception as error:
                self._error = error
                raise
            self.next += 1
            if self.next > row:
                value = batch.column(0)[0].as_py()
                value = value.get("bytes") if isinstance(value, dict) else value
                return value if value is None else bytes(value)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        self.close()


class _ParquetFile:
    """An open Parquet file. Raises ``BadInput`` where it is none."""

    def __init__(self, root: str, name: str) -> None:
        self.location = shown(joined(root, name))
        parquet = modules(self.location).parquet
        self._raw = open_file(root, name)
        try:
            with _refused(self.location):
                # Not ahead of what is read: that would hold whole row groups.
                self.file = parquet.ParquetFile(self._raw, pre_buffer=False, buffer_size=_BUFFER)
        except BadInput:
            self._raw.close()
            raise

    def batches(self, column: str, *, rows: int, group: int) -> Iterator[Any]:
        """A column of a row group, a few rows at a time."""
        batches: Iterator[Any] = self.file.iter_batches(
            batch_size=rows, row_groups=[group], columns=[column], use_threads=False
        )
        return batches

    def require_rows(self) -> None:
        """Raise ``BadInput`` for more rows than the file has bytes: each would be listed."""
        rows, size = self.file.metadata.num_rows, self.size
        if not 0 <= rows <= size:
            raise BadInput(self.location, f"claims {rows:,} rows in {size:,} bytes", _EXPECTED)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._raw.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close both."""
        self.file.close()
        self._raw.close()


@dataclass(frozen=True)
class _Columns:
    """Where the images and the labels are, and the labels' names if the schema has them."""

    image: str
    label: str
    names: tuple[str, ...]


def scan_parquet(files: Sequence[tuple[str, str]]) -> Scan:
    """The rows of all files, in their order; the root and the name of each are given.

    A broken file is skipped. Raises ``BadInput`` if it is the only one, where pyarrow is not
    installed, and for files whose classes differ.
    """
    modules(joined(*files[0]))
    scan = Scan("parquet", [])
    first: _Columns | None = None
    for root, name in files:
        try:
            columns = _scan_file(scan, root, name)
        except BadInput as error:
            if len(files) == 1:
                raise
            scan.skipped.append(Skipped(name, error.problem))
            continue
        if first is not None and columns.names != first.names:
            problem = "has other classes than the files before it"
            raise BadInput(shown(joined(root, name)), problem, "files of one data set")
        first = first or columns
    if first is not None and first.names:
        scan.own, scan.what = first.names, "class names of the Parquet file"
    return scan


def _scan_file(scan: Scan, root: str, name: str) -> _Columns:
    opened = _ParquetFile(root, name)
    found: list[Found] = []
    try:
        with _refused(opened.location):
            columns = _columns(opened.file.schema_arrow, opened.location)
            opened.require_rows()
            number = 0
            for group in range(opened.file.num_row_groups):
                labels = _labels(opened, columns, group)
                for row, label in enumerate(labels):
                    place = ParquetPlace(root, name, group, row, columns.image)
                    found.append(Found(f"{name}/{number}", intern(label), place))
                    number += 1
    finally:
        opened.close()
    scan.found += found
    return columns


def _labels(opened: _ParquetFile, columns: _Columns, group: int) -> Iterator[str]:
    if not columns.label:
        for _ in range(opened.file.metadata.row_group(group).num_rows):
            yield ""
        return
    for batch in opened.batches(columns.label, rows=_LABEL_ROWS, group=group):
        for value in batch.column(0).to_pylist():
            text = "" if value is None else str(value).strip()
            if text in NO_LABEL:
                yield ""
            elif columns.names:
                if not 0 <= int(text) < len(columns.names):
                    problem = f"has the label {text[:20]}, and {len(columns.names)} names of labels"
                    raise BadInput(opened.location, problem, "labels that have names")
                yield columns.names[int(text)]
            else:
                yield text


def _columns(schema: Any, location: str) -> _Columns:
    """The columns of images and labels."""
    types = modules(location).types
    features = _features(schema.metadata or {})

    def holds(field: Any) -> str:
        """The column of the bytes in a field; empty where it has none."""
        if types.is_struct(field.type):
            inner = [f for f in field.type if f.name == "bytes" and _is_binary(types, f.type)]
            return f"{field.name}.bytes" if len(inner) == 1 else ""
        return field.name if _is_binary(types, field.type) else ""

    images = {field.name: column for field in schema if (column := holds(field))}
    of_feature = [n for n in images if features.get(n, {}).get("_type") == "Image"]
    usual = [n for n in images if n.lower() in _IMAGES]
    chosen = of_feature or usual or list(images)
    if len(chosen) != 1:
        problem = (
            f"has {len(chosen)} columns of images ({few(chosen)})"
            if chosen
            else "has no column of images"
        )
        raise BadInput(location, problem, _EXPECTED)
    kinds = (types.is_integer, types.is_string, types.is_large_string)
    others = {f.name for f in schema if any(kind(f.type) for kind in kinds)}
    of_class = [n for n in others if features.get(n, {}).get("_type") == "ClassLabel"]
    if len(of_class) == 1:
        label = of_class[0]
    else:
        by_case = {name.lower(): name for name in sorted(others)}
        label = next((by_case[name] for name in _LABELS if name in by_case), "")
    names = features.get(label, {}).get("names") or ()
    well = isinstance(names, list) and all(isinstance(name, str) for name in names)
    unique = well and len(set(names)) == len(names)
    is_number = bool(label) and types.is_integer(schema.field(label).type)
    return _Columns(images[chosen[0]], label, tuple(names) if unique and is_number else ())


def _is_binary(types: Any, kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _features(metadata: dict[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Hugging Face's description of the columns; empty where there is none."""
    try:
        document = read_json(metadata.get(b"huggingface", b"{}").decode("utf-8"))
        features = document["info"]["features"]
        return {str(name): f for name, f in features.items() if isinstance(f, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


@contextmanager
def _refused(location: str) -> Iterator[None]:
    """Whatever pyarrow raises on a damaged file, as ``BadInput``."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(location, f"cannot be read ({error!s:.160})", _EXPECTED) from error
