"""Zip archives whose members hold tensors as they are: mapped when read, streamed when written."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import numpy as np

from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint.metadata import Metadata

_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
# Members begin at a multiple of this, as PyTorch's do, so that their values can be mapped.
_ALIGNMENT: Final = 64
# The member that metadata are where a comment has no room for them, and more than they ever take.
MANIFEST: Final = "vgg16.json"
MANIFEST_LIMIT: Final = 1 << 20
# The archive's end with the longest comment, and with what large archives have before it.
_LONGEST_END: Final = (1 << 16) + 22 + 20 + 56
_MOST_LISTED: Final = 1 << 20
_IN_THE_OTHER_FORM: Final = (1 << 32) - 1
# PyTorch's own id of an extra field of padding.
_PADDING: Final = b"FB"
# The oldest time that the format knows: the same values give the same bytes.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
# The checksum is taken block by block.
_BLOCK_BYTES: Final = 1 << 22


class ArchiveWriter:
    """Writes members into a zip archive, uncompressed, the values of each aligned."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def add(self, name: str, content: bytes) -> None:
        """Write a small member."""
        self.stream(name, len(content), [content])

    def stream(self, name: str, size: int, pieces: Iterable[bytes | Array]) -> None:
        """Write a member of ``size`` bytes piece by piece."""
        member = zipfile.ZipInfo(name, _TIME)
        member.file_size = size  # so that the header has room for it
        begin = self._file.tell() + _LOCAL_HEADER.size + len(name.encode()) + 4
        padding = -begin % _ALIGNMENT
        member.extra = _PADDING + struct.pack("<H", padding) + bytes(padding)
        with self._archive.open(member, "w") as target:
            for piece in pieces:
                target.write(piece.data.cast("B") if isinstance(piece, np.ndarray) else piece)

    def comment(self, metadata: Metadata) -> None:
        """Store metadata as the archive's comment, or as a last member where that is too short."""
        text = metadata.to_json().encode()
        if len(text) <= zipfile.ZIP_MAX_COMMENT:
            self._archive.comment = text
        else:
            self.add(MANIFEST, text)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive to read.

    Raises what zipfile does for a damaged one, and ``ValueError`` for one whose list of members
    would take much memory: zipfile reads it whole, and makes an object of each.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LONGEST_END))
        end = file.read()
    # Wherever a reader may look for the list's size, in the form for large archives too.
    for ending, width, at in ((b"PK\x05\x06", 4, 12), (b"PK\x06\x06", 8, 40)):
        begin = end.find(ending)
        while begin >= 0:
            size = int.from_bytes(end[begin + at : begin + at + width], "little")
            if _MOST_LISTED < size != _IN_THE_OTHER_FORM:
                raise ValueError(f"a list of members of {size} bytes")
            begin = end.find(ending, begin + 1)
    with zipfile.ZipFile(path) as archive:
        yield archive


def members(path: Path) -> frozenset[str]:
    """The names in a zip archive; none if the file is not a readable archive."""
    with suppress(Exception), opened(path) as archive:  # whatever zipfile raises
        return frozenset(archive.namelist())
    return frozenset()


def stored(
    path: Path, member: zipfile.ZipInfo, block_bytes: int = _BLOCK_BYTES
) -> tuple[int, Array]:
    """The first byte in the archive of a member's content, and the content, mapped.

    Raises ``ValueError`` for a member that is compressed, does not lie where the archive says, or
    does not have the checksum that it states.
    """
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed, as in this format it never is")
    mapped = np.memmap(path, np.uint8, mode="r")
    begin = member.header_offset + _LOCAL_HEADER.size
    header = mapped[member.header_offset : begin].tobytes()
    if len(header) != _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise ValueError(f"{member.filename} is not where the archive says")
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    begin += name_length + extra_length
    end = begin + member.file_size
    encrypted = member.flag_bits & 1
    if encrypted or member.file_size != member.compress_size or end > len(mapped):
        raise ValueError(f"{member.filename} is incomplete")
    found = 0
    for start in range(begin, end, block_bytes):
        found = zlib.crc32(mapped[start : min(start + block_bytes, end)].data, found)
    if found != member.CRC:
        raise ValueError(f"{member.filename} is damaged: its checksum does not fit")
    return begin, mapped[begin:end]


def comment(path: Path) -> Metadata | None:
    """What `ArchiveWriter.comment` stored; ``None`` where an archive has nothing of it.

    Raises ``ValueError`` for one that is not ours: it has no checksum, and a file whose metadata
    are lost would be taken for one that has another recipe.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LONGEST_END))
        text = file.read().rpartition(b"PK\x05\x06")[2][18:]
    if not text:
        with opened(path) as archive:
            if MANIFEST not in archive.namelist():
                return None
            member = archive.getinfo(MANIFEST)
        if member.file_size > MANIFEST_LIMIT:
            raise ValueError(f"{MANIFEST} has {member.file_size} bytes")
        text = stored(path, member)[1].tobytes()
    if (kept := Metadata.from_json(text)) is None:
        raise ValueError("what it says of itself is damaged or not ours")
    return kept
