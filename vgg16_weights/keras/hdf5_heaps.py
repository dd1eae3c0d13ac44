"""A look at an HDF5 file before HDF5 takes one: what it does not survive is refused.

Texts of any length lie in global heaps, which begin with ``GCOL``. HDF5 (1.14.6, and likely all
before) goes through one for ever where its free space says that it has no bytes. Source: "HDF5 File
Format Specification Version 3.0", III.E "Global Heap"; ``H5HGcache.c``.
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

# As often in a file of 0.5 GB of random values as once in 2,000; its size then tells.
_HEAP: Final = b"GCOL\x01"
_SMALLEST_HEAP: Final = 4096
# Far more texts than a network has: a crafted file could keep a loop in Python busy for hours.
_MOST_OBJECTS: Final = 1_000_000
_HEADER: Final = struct.Struct("<8xQ")
_OBJECT: Final = struct.Struct("<H6xQ")
# The superblock's first bytes: its version, then where the sizes of offsets and lengths stand.
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_WIDTHS_AT: Final = {0: 13, 1: 13, 2: 9, 3: 9}
_WIDTHS: Final = b"\x08\x08"


def check_survivable(path: Path, base: int) -> None:
    """Raise ``ValueError`` for a file that begins at a byte of another and would hang HDF5."""
    stat = path.stat()
    _look_through(path, base, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=4)
def _look_through(path: Path, base: int, identity: tuple[int, ...]) -> None:  # noqa: ARG001
    """The same, once for a file that is opened to find its format and again to be read."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data[base : base + 16]
            widths = _WIDTHS_AT.get(start[8]) if len(start) == 16 else None
            if not start.startswith(_SIGNATURE) or widths is None:
                raise ValueError("it does not begin as HDF5's files do")
            # All that writes such files has eight bytes for each, and what follows relies on it.
            if start[widths : widths + 2] != _WIDTHS:
                raise ValueError("its offsets or lengths have not eight bytes")
            at, left = data.find(_HEAP, base), _MOST_OBJECTS
            while at >= 0:
                left -= 1 + _objects(data, at, left)
                at = data.find(_HEAP, at + 1)


def _objects(data: mmap.mmap, start: int, most: int) -> int:
    """How many objects a heap has; none where HDF5 does not take it for a heap either."""
    if start + _HEADER.size > len(data):
        return 0
    (size,) = _HEADER.unpack_from(data, start)
    if size < _SMALLEST_HEAP or start + size > len(data):
        return 0
    position, end, count = start + _HEADER.size, start + size, 0
    while end - position >= _OBJECT.size:
        number, length = _OBJECT.unpack_from(data, position)
        # Free space is the last, and its length is that of its header too.
        needed = -(-length // 8) * 8 + _OBJECT.size if number else length
        if needed > end - position or (not number and needed != end - position):
            raise ValueError(f"the heap at byte {start} is damaged")
        position += needed
        count += 1
        if count > most:
            raise ValueError(f"more than {_MOST_OBJECTS} texts")
    return count
