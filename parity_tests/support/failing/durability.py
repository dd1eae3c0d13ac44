"""Records what a writer has put on the disk when it renames, and stops it at any of its steps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import pytest

# Path within a file or folder -> a digest of the file, or the names in the folder.
State = dict[str, object]


class Step(NamedTuple):
    """What a writer asked the system for, and what the file or folder was then."""

    kind: Literal["sync", "rename"]
    path: Path
    state: State
    target: Path | None = None


@contextmanager
def recorded() -> Iterator[list[Step]]:
    """The steps of what is written in this context, in their order."""
    steps: list[Step] = []
    real = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        # Before the system's own look at it: what comes meanwhile need not be on the disk.
        step = Step("sync", path, {".": _own(path)} if path.exists() else {})
        real["fsync"](descriptor)
        steps.append(step)

    def renaming(name: str) -> Callable[[Any, Any], None]:
        def rename(source: Any, target: Any) -> None:
            path = Path(source)
            state = {}
            if path.exists():
                inner = path.rglob("*") if path.is_dir() else ()
                state = {str(each.relative_to(path)): _own(each) for each in (path, *inner)}
            real[name](source, target)
            steps.append(Step("rename", path, state, Path(target)))

        return rename

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for name in ("rename", "replace"):
            patch.setattr(os, name, renaming(name))
        yield steps


def _own(path: Path) -> object:
    if path.is_dir():
        return tuple(sorted(entry.name for entry in path.iterdir()))
    return sha256(path.read_bytes()).hexdigest()


def problems(steps: list[Step], destination: Path) -> list[str]:
    """What a power cut could take of a file or folder that was written; empty if nothing."""
    renames = [n for n, step in enumerate(steps) if step.target == destination]
    if not renames:
        return [f"nothing became {destination.name}"]
    found = []
    last = renames[-1]
    for inner, content in steps[last].state.items():
        path = steps[last].path / inner
        synced = [step.state for step in steps[:last] if step.kind == "sync" and step.path == path]
        if {".": content} not in synced:
            found.append(f"{inner} was not on the disk before the rename")
    folders = [
        step for step in steps[last:] if step.kind == "sync" and step.path == destination.parent
    ]
    if not any(destination.name in str(step.state["."]) for step in folders):
        found.append("the folder was not on the disk after the rename")
    return found


# What a writer asks the system for, by the name in `os`.
CALLS: Final = ("open", "fsync", "rename", "replace", "mkdir", "unlink")


@contextmanager
def stopped(at: int, stop: Callable[[], object]) -> Iterator[list[str]]:
    """Have this thread's call of that number be another one; the names of all calls before it."""
    names: list[str] = []
    thread = threading.get_ident()

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() == thread:
                names.append(name)
                if len(names) == at + 1:
                    stop()
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield names
