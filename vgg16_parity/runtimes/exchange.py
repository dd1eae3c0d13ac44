"""The files through which a worker hands its results over, read a tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """A worker's result by name, each array read when asked for; empty where there is none."""
    if not path.exists():
        yield {}
        return
    with safe_open(path, framework="numpy") as file:
        yield _Lazily(file)


class _Lazily(Mapping[str, NDArray[Any]]):
    def __init__(self, file: Any) -> None:
        self._file = file
        self._names = list(file.keys())

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        values: NDArray[Any] = self._file.get_tensor(name)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
