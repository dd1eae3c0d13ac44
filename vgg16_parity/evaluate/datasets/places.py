"""Where an image's bytes are, for any process that reaches the file."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from vgg16_parity.evaluate.datasets.storage import joined, open_file, opened, shown, version
from vgg16_spec.errors import BadInput

# The most pixels that a picture may have take 192 MB in RGB without compression; a larger file is
# a video, an archive or an attack.
MOST_BYTES: Final = 1 << 28
# How many times a file's size its images may have: they hardly shrink, and zeros to a thousandth.
MOST_EXPANSION: Final = 100
_BLOCK: Final = 1 << 20
IMAGES: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".png", ".webp", ".avif", ".avifs", ".gif", ".tif", ".tiff", ".bmp", ".dib", ".qoi"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
    )
)
_EXPECTED: Final = "the encoded picture that was there"


class StoredPlace(Protocol):
    """A place that is read without holding a whole file."""

    @property
    def container(self) -> Hashable:
        """What it is read from with others, in their order; None where any order is as good."""

    def blocks(self) -> Iterator[bytes]:
        """The bytes in pieces. Raises ``BadInput`` as ``read`` does."""

    def read(self) -> bytes:
        """The encoded picture. Raises ``BadInput`` where it cannot be read any more."""


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file of its own: its root and its name, as in `storage`."""

    root: str
    name: str

    @property
    def container(self) -> Hashable:
        """Each file is its own."""
        return None

    def blocks(self) -> Iterator[bytes]:
        """The file in pieces. Raises ``BadInput`` where it is empty, too large or unreadable."""
        location = shown(joined(self.root, self.name))
        with opened(self.root, self.name) as file, _refused(location):
            size = file.seek(0, os.SEEK_END)
            require_size(location, size)
            file.seek(0)
            yield from _pieces(file, location, size)

    def read(self) -> bytes:
        """The file. Raises as `blocks` does."""
        return b"".join(self.blocks())


@dataclass(frozen=True, slots=True)
class RangePlace:
    """Bytes of a file, from an offset: a member of a tar file, which may be compressed by gzip.

    Offsets are those of the content without compression. A compressed file is read forwards: images
    in their order cost one pass over it.
    """

    root: str
    name: str
    offset: int
    size: int
    compressed: bool = False

    @property
    def container(self) -> Hashable:
        """The tar file if it is compressed, which is read forwards; else None."""
        return (self.root, self.name) if self.compressed else None

    def blocks(self) -> Iterator[bytes]:
        """The bytes in pieces. Raises ``BadInput`` where they are not there any more."""
        location = shown(joined(self.root, self.name))
        require_size(location, self.size)
        if self.compressed:
            with _refused(location):
                key = (self.root, self.name, version(self.root, self.name))
                file = held(key, lambda: Gunzipped(self.root, self.name)).file
                file.seek(self.offset)
                yield from _pieces(file, location, self.size)
            return
        with opened(self.root, self.name) as file, _refused(location):
            file.seek(self.offset)
            yield from _pieces(file, location, self.size)

    def read(self) -> bytes:
        """The bytes. Raises as `blocks` does."""
        return b"".join(self.blocks())


class Gunzipped:
    """A gzip file that stays open at its position until it is dropped."""

    def __init__(self, root: str, name: str) -> None:
        self.raw = open_file(root, name)
        self.file = gzip.GzipFile(fileobj=self.raw, mode="rb")

    def close(self) -> None:
        """Close both."""
        self.file.close()
        self.raw.close()

    def __del__(self) -> None:
        raw = getattr(self, "raw", None)
        if raw is not None:
            self.close()


_held = threading.local()


def held(key: Hashable, make: Callable[[], Any]) -> Any:
    """What this thread had open last, if it is that of the key; else what ``make`` opens.

    One reader a thread: images in their order need no other.
    """
    if getattr(_held, "key", None) != key:
        _held.key = _held.value = None
        _held.value = make()
        _held.key = key
    return _held.value


def require_size(location: str, size: int) -> None:
    """Raise ``BadInput`` for a picture without bytes or with more than any has."""
    if size == 0:
        raise BadInput(location, "is empty", _EXPECTED)
    if size > MOST_BYTES:
        raise BadInput(location, f"has {size:,} bytes", f"at most {MOST_BYTES:,}")


def _pieces(file: BinaryIO | gzip.GzipFile, location: str, size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, _BLOCK))
        if not piece:
            raise BadInput(location, f"is cut off, {size:,} bytes are missing", _EXPECTED)
        size -= len(piece)
        yield piece


@contextmanager
def _refused(location: str) -> Iterator[None]:
    """What a file or its compression raises while it is read, as ``BadInput``."""
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # whatever a decompressor or a client of some storage raises
        _held.key = None  # a reader that failed is at no known position
        reason = getattr(error, "strerror", None) or f"{error!s:.160}"
        raise BadInput(location, f"cannot be read ({reason})", _EXPECTED) from error
