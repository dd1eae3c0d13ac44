"""Large values of a walk, moved to files until their last reader has read them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.values import Value

# Arrays of at least so many bytes are moved: those of VGG16's first block at 224 pixels are.
LARGE: Final = 16 << 20


class Spill:
    """Moves large arrays to files in a folder; a `Keep` of a walk.

    A file has no name any more once it is mapped, so that its space is free as soon as the walk
    drops the value.

    Args:
        folder: where there is room.
        least: the size in bytes from which on an array is moved.
    """

    def __init__(self, folder: Path, least: int = LARGE) -> None:
        self._folder, self._least = folder, least

    def __call__(self, name: str, value: Value) -> Value:
        """The value with its large arrays mapped from files."""
        del name
        errors: Mapping[str, Array | None] = value.accumulated
        moved = {mode: None if v is None else self._moved(v) for mode, v in errors.items()}
        return replace(value, values=self._moved(value.values), accumulated=moved)

    def _moved(self, values: Array) -> Array:
        if values.nbytes < self._least or isinstance(values, np.memmap):
            return values
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            mapped: Array = np.memmap(file, values.dtype, "w+", shape=values.shape)
            mapped[...] = values
            return mapped
