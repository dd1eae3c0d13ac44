"""A file's sha256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

# A file is read this many bytes at a time.
_BLOCK_BYTES: Final = 1 << 24


def digest(path: str | os.PathLike[str], block_bytes: int = _BLOCK_BYTES) -> str:
    """The sha256 of a file, in hexadecimal."""
    sha256, block = hashlib.sha256(), memoryview(bytearray(block_bytes))
    with Path(path).open("rb", buffering=0) as file:
        # In large blocks: between two of them, this thread may have to wait for a busy one.
        while size := file.readinto(block):
            sha256.update(block[:size])
    return sha256.hexdigest()
