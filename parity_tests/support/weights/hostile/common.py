"""What files that mean harm have in common: what they would run, and how they are made."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vgg16_spec.checkpoint import Checkpoint

Hostile = Callable[[Path, Checkpoint], None]
# What a hostile file would make, had it its way: beside it, so that a test can look.
CANARY: Final = "canary"
GIGABYTE: Final = 1 << 30
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
DEEP: Final = b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}"


class Calls:
    """Pickled, it is a call of a function with an argument."""

    def __init__(self, function: Callable[[str], object], argument: str) -> None:
        self._call = function, (argument,)

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return self._call


def touch(path: Path) -> str:
    return f"touch {path.with_name(CANARY)}"


def system(path: Path) -> object:
    return Calls(os.system, touch(path))


def evaluated(path: Path) -> object:
    return Calls(eval, f"__import__('os').system({touch(path)!r})")
