"""Zip's checksums of members that are mapped, which zipfile does not get to see."""

from __future__ import annotations

import zipfile
import zlib
from typing import Final

from vgg16_spec.blocks import Array

_PIECE: Final = 1 << 22


def check_sum(member: zipfile.ZipInfo, content: Array) -> None:
    """Raise ``ValueError`` unless these bytes have the checksum that the archive states."""
    found = 0
    for start in range(0, len(content), _PIECE):
        found = zlib.crc32(content[start : start + _PIECE].data, found)
    if found != member.CRC:
        raise ValueError(f"{member.filename} is damaged: its checksum does not fit")
