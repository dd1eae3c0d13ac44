"""Tar shards as WebDataset writes them: members of one sample share all before their first dot.

Nothing is extracted: an image is a range of the tar file's bytes, whatever its name says.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from sys import intern
from typing import Any, Final, cast

from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.datasets.places import MOST_BYTES, MOST_EXPANSION, Gunzipped, RangePlace
from vgg16_parity.evaluate.datasets.scans import Found, Scan
from vgg16_parity.evaluate.datasets.storage import is_url, joined, opened, shown
from vgg16_parity.evaluate.datasets.tables import NO_LABEL, is_image
from vgg16_spec.errors import BadInput
from vgg16_spec.files.text import read_json

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
_EXPECTED: Final = "a tar file as WebDataset writes it"
# The largest header, label or description of an image that is read.
_MOST_HEADER: Final = 1 << 20
_MOST_LABEL: Final = 1 << 16
_MOST_NAME: Final = 1 << 12
# Some dozens of images.
_AHEAD: Final = 1 << 22
_STEP: Final = 1 << 26
_JSON_LABELS: Final = (
    *("label", "class_id", "class_index", "cls", "class", "target"),
    *("class_name", "synset", "wnid"),
)


@dataclass
class _Sample:
    """What one sample has: images by their suffix, labels, and members that cannot be read."""

    key: str
    images: list[tuple[str, RangePlace]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def scan_shards(shards: Sequence[tuple[str, str]]) -> Scan:
    """The samples of all shards, in the shards' order; the root and the name of each are given.

    A shard that is broken is skipped from where it breaks. Raises ``BadInput`` if it is the only
    one and has nothing before.
    """
    scan = Scan("webdataset", [])
    for root, name in shards:
        try:
            _scan_shard(scan, root, name)
        except BadInput as error:
            if len(shards) == 1 and not scan.found:
                raise
            scan.skipped.append(Skipped(name, error.problem))
    return scan


def _scan_shard(scan: Scan, root: str, name: str) -> None:
    names: dict[str, int] = {}
    for sample in _samples(scan, root, name):
        called = f"{name}/{sample.key}"
        # Two samples of one key are two images.
        names[called] = names.get(called, 0) + 1
        if names[called] > 1:
            called += f" ({names[called]})"
        for problem in sample.problems:
            scan.skipped.append(Skipped(called, problem))
        # "jpg" rather than "mask.png".
        images = [i for i in sample.images if "." not in i[0]] or sample.images
        if len(images) > 1:
            suffixes = ", ".join(suffix for suffix, _ in images)
            scan.skipped.append(Skipped(called, f"has {len(images)} images: {suffixes:.99}"))
        elif images:
            suffix, place = images[0]
            label = sample.labels.get("cls", sample.labels.get("json", ""))
            scan.found.append(Found(f"{called}.{suffix}", intern(label), place))


def _samples(scan: Scan, root: str, name: str) -> Iterator[_Sample]:
    """The samples, the one at which a shard breaks too, and then the refusal."""
    sample: _Sample | None = None
    try:
        with _tar(root, name) as (archive, reader):
            for member in _members(archive, reader, shown(joined(root, name))):
                folder, slash, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                if member.isdir() or not stem:  # hidden, or what macOS adds
                    continue
                key = f"{folder}{slash}{stem}"
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = _Sample(key)
                place = RangePlace(
                    root, name, member.offset_data, member.size, compressed=reader.compressed
                )
                _add(scan, sample, suffix, member, reader, place)
    except BadInput:
        if sample is not None:
            yield sample
        raise
    if sample is not None:
        yield sample


def _add(
    scan: Scan,
    sample: _Sample,
    suffix: str,
    member: tarfile.TarInfo,
    reader: _Reader,
    place: RangePlace,
) -> None:
    kind = suffix.lower().rpartition(".")[2]
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if is_image(f".{kind}"):
        if not plain:
            sample.problems.append("is a link, a device or a sparse member of the tar file")
        elif len(member.name) > _MOST_NAME:
            sample.key = sample.key[:99]
            sample.problems.append(f"has a name of {len(member.name):,} characters")
        elif member.size > MOST_BYTES:
            sample.problems.append(f"has {member.size:,} bytes")
        elif member.offset_data + member.size > reader.size:
            sample.problems.append("is cut off at the end of the tar file")
        else:
            sample.images.append((suffix, place))
    elif suffix.lower() not in ("cls", "json"):
        scan.ignored += 1
    else:
        try:
            if not plain or member.size > _MOST_LABEL:
                raise ValueError
            content = reader.label(member)
            sample.labels[kind] = _text(content) if kind == "cls" else _label_of(content)
        except ValueError:
            sample.problems.append(f"has a label ({kind}) that cannot be read")


def _text(content: bytes) -> str:
    text = content.decode("utf-8").strip()
    return "" if text in NO_LABEL else text


def _label_of(content: bytes) -> str:
    document: Any = read_json(content.decode("utf-8"))
    if isinstance(document, dict):
        document = next((document[key] for key in _JSON_LABELS if key in document), None)
    if isinstance(document, (int, str)) and not isinstance(document, bool):
        text = str(document).strip()
        return "" if text in NO_LABEL else text
    return ""


class _Reader:
    """A tar file that is never asked for much: the library reads long names in one piece.

    Attributes:
        size: of the file; more than any for a compressed one, whose size nothing tells.
        compressed: whether it is, so that only forward is cheap.
        last: what was read last.
    """

    def __init__(self, file: Any, size: int, raw: Any = None) -> None:
        self._file = file
        self._raw = raw
        self.size = size
        self.compressed = raw is not None
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header has {size:,} bytes")
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        while self.compressed and (position := self.tell()) + _STEP < offset:
            if self._file.seek(position + _STEP) == position:
                break  # the end
            if position > MOST_EXPANSION * self._raw.tell():
                raise tarfile.ReadError(f"it expands to more than {position:,} bytes")
        return cast(int, self._file.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self._file.tell())

    def label(self, member: tarfile.TarInfo) -> bytes:
        """The content of a small member; the position stays as it is."""
        before = self.tell()
        self.seek(member.offset_data)
        content = self.read(member.size)
        if not self.compressed:
            self.seek(before)
        return content


@contextmanager
def _tar(root: str, name: str) -> Iterator[tuple[tarfile.TarFile, _Reader]]:
    """A tar file, and what it is read by. Raises ``BadInput`` for whatever is none."""
    location = shown(joined(root, name))
    try:
        with opened(root, name) as opened_file:
            # Otherwise, each header would be a request.
            remote = is_url(root)
            file = BufferedReader(cast(Any, opened_file), _AHEAD) if remote else opened_file
            compressed = file.read(2) == b"\x1f\x8b"
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if not compressed:
                reader = _Reader(file, size)
                with tarfile.open(fileobj=cast(Any, reader), mode="r:") as archive:
                    yield archive, reader
                return
        gunzipped = Gunzipped(root, name)
        try:
            reader = _Reader(gunzipped.file, 1 << 62, gunzipped.raw)
            with tarfile.open(fileobj=cast(Any, reader), mode="r:") as archive:
                yield archive, reader
        finally:
            gunzipped.close()
    except BadInput:
        raise
    except Exception as error:  # whatever the libraries raise on a damaged file
        raise BadInput(location, f"is no tar file or is damaged ({error!s:.160})", _EXPECTED) from (
            error
        )


def _members(archive: tarfile.TarFile, reader: _Reader, location: str) -> Iterator[tarfile.TarInfo]:
    """The members, of which the library keeps none."""
    offset = -1
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        # A size below zero would lead back, in a circle.
        if member.size < 0 or member.offset <= offset:
            raise BadInput(location, "has a member of a negative size", _EXPECTED)
        offset = member.offset
        yield member
    if reader.last.strip(b"\0") or len(reader.last) < tarfile.BLOCKSIZE:
        raise BadInput(location, "ends without the mark of a tar file's end", _EXPECTED)
