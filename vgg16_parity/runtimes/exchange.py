"""The files in which a worker leaves its results, read one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open


@dataclass(frozen=True)
class StoredTensors(Mapping[str, NDArray[Any]]):
    """A safetensors file's tensors by name; empty if there is no file.

    The file is opened for each read: while a mapped file is open, all that was read of it counts as
    this process's memory.
    """

    path: Path

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names():
            raise KeyError(name)
        with safe_open(self.path, framework="numpy") as file:
            values: NDArray[Any] = file.get_tensor(name)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        if not self.path.exists():
            return []
        with safe_open(self.path, framework="numpy") as file:
            return list(file.keys())


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """A worker's result by name."""
    yield StoredTensors(path)
