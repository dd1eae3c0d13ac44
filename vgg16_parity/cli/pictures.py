"""Which pictures the command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgg16_spec.errors import require_file


def named_pictures(images: Sequence[Path]) -> list[Path]:
    """Those given, or the two photographs.

    Raises ``BadInput`` where one is no file: before anything is waited for.
    """
    from vgg16_spec.images.photographs import PHOTOGRAPHS
    from vgg16_spec.images.preprocessing import PICTURE

    for path in images:
        require_file(path, PICTURE)
    return list(images) or [photograph.path for photograph in PHOTOGRAPHS]
