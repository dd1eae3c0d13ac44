"""The folder of an evaluation, which a later one continues.

    run.json                         what it is of: weights, recipe, images, views
    results/<runtime>/<shard>.npy    logits (N, classes) float32 of a shard's readable images, or
                                     log-posteriors float64, averaged over views
    shards/<shard>.json              which of a shard's images cannot be read, and why
    pixels/<shard>.npy               pixels (N, H, W, 3) of the others, until all have computed
                                     or, for views, as ``vgg16_parity.runtimes.shards`` says
    graphs/, timings/                the digest of each runtime's exported graph; what a run cost

Every file is whole or absent. Only ``timings`` differ between two runs of the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.shards import Shard, file_name
from vgg16_parity.runtimes.job import Record
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.files.neighbours import clear_up, try_lock
from vgg16_spec.text import json_text

_ABOUT: Final = "run.json"
_FORMAT: Final = "vgg16-evaluation/1"
_EXPECTED: Final = (
    "a new folder, an empty one, or one of the same weights, recipe, images and views"
)
_FOLDERS: Final = ("results", "shards", "pixels", "graphs", "timings")
# What differs, in the order in which it is looked at.
_OTHER: Final = {
    "weights": "other weights",
    "network": "another network",
    "recipe": "another recipe",
    "images": "other images",
    "views": "other views",
}


@dataclass(frozen=True)
class RunFolder:
    """The paths of what an evaluation keeps."""

    path: Path

    def pixels(self, shard: Shard) -> Path:
        """The pixels of a shard."""
        return self.path / "pixels" / f"{shard.name}.npy"

    def unreadable(self, shard: Shard) -> Path:
        """Which images of a shard cannot be read."""
        return self.path / "shards" / f"{shard.name}.json"

    def results(self, runtime: str) -> Path:
        """The folder of a runtime's results."""
        return self.path / "results" / _plain(runtime)

    def result(self, runtime: str, shard: Shard, key: str) -> Path:
        """The logits of a shard by a runtime."""
        return self.results(runtime) / f"{file_name(shard.index, key)}.npy"

    def write_unreadable(self, shard: Shard, found: Mapping[int, Skipped]) -> None:
        """Keep which images of a shard cannot be read, by their place in it."""
        reasons = {str(place): skipped.reason for place, skipped in found.items()}
        _write(self.unreadable(shard), {"unreadable": reasons})

    def read_unreadable(self, shard: Shard) -> dict[int, Skipped]:
        """The inverse of `write_unreadable`. Raises ``BadInput`` where the file is damaged."""
        file = self.unreadable(shard)
        try:
            reasons = json.loads(file.read_text(encoding="utf-8"))["unreadable"]
            places = {int(place): str(reason) for place, reason in reasons.items()}
            return {place: Skipped(shard.items[place].name, why) for place, why in places.items()}
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise BadInput(file, "is damaged", "the file as it was written, or none") from error

    def graph_digest(self, name: str) -> str:
        """The digest of a graph that was exported before; empty if none was."""
        with suppress(OSError):
            return (self.path / "graphs" / name).read_text(encoding="ascii", errors="replace")
        return ""

    def keep_graph_digest(self, name: str, digest: str) -> None:
        """Keep it, so that a later run need not export the graph to find its results."""
        with whole_file(self.path / "graphs" / name) as temporary:
            temporary.write_text(digest, encoding="ascii")

    def timings(self, runtime: str, key: str) -> Record | None:
        """What a runtime's latest run cost; None without one."""
        names = {field.name for field in fields(Record)}
        try:
            values = json.loads(self._timings(runtime, key).read_text(encoding="utf-8"))
            return Record(**{name: values[name] for name in names & values.keys()})
        except (OSError, ValueError, AttributeError):
            return None

    def keep_timings(self, runtime: str, key: str, record: Record) -> None:
        """Keep what a runtime's run cost."""
        _write(self._timings(runtime, key), asdict(record))

    def _timings(self, runtime: str, key: str) -> Path:
        return self.path / "timings" / f"{_plain(runtime)}-{key}.json"

    def remove_pixels(self) -> None:
        """Remove what the last runtime has computed from."""
        shutil.rmtree(self.path / "pixels", ignore_errors=True)


@contextmanager
def opened(path: Path, about: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Create an evaluation's folder, or open one of the same; this process alone has it.

    Args:
        path: the folder.
        about: ``weights``, ``network``, ``recipe`` and ``images``: what the results depend on; and
            ``views`` of an evaluation that has them.

    Raises ``BadInput``, and leaves the folder as it is, where it is of something else, is no such
    folder, is in use, or cannot be written.
    """
    _check(path, about)
    try:
        path.mkdir(exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError for a name that no system takes
        problem = f"cannot be made ({getattr(error, 'strerror', None) or error})"
        raise BadInput(path, problem, "a folder in one that exists and can be written") from error
    file = path / _ABOUT
    if not file.exists():
        _write(file, {"format": _FORMAT} | dict(about))
    with _locked(path, file):
        for name in _FOLDERS:
            try:
                (path / name).mkdir(exist_ok=True)
            except OSError as error:
                problem = f"cannot be written ({error.strerror})"
                raise BadInput(path / name, problem, "a writable folder") from error
        for folder in (path, *(path / name for name in _FOLDERS), *path.glob("results/*/")):
            clear_up(folder)
        yield RunFolder(path)


def _check(path: Path, about: Mapping[str, Any]) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise BadInput(path, "is no folder", _EXPECTED)
    file = path / _ABOUT
    if not file.is_file():
        try:
            # A process that was killed as it began has left hidden names alone.
            others = sorted(each.name for each in path.iterdir() if each.name[0] != ".")
        except OSError as error:
            raise BadInput(path, f"cannot be read ({error.strerror})", _EXPECTED) from error
        if others:
            raise BadInput(path, f"holds {others[0]} and no {_ABOUT}", _EXPECTED)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        is_ours = found["format"] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(file, "is not what an evaluation has written", _EXPECTED) from error
    if not is_ours:
        raise BadInput(file, f"is of the format {found['format']!s:.40}", _FORMAT)
    # As JSON has them: a tuple is a list.
    ours = json.loads(json.dumps(dict(about)))
    for name, problem in _OTHER.items():
        if found.get(name) != ours.get(name):
            raise BadInput(path, f"is a run of {problem}", _EXPECTED)


@contextmanager
def _locked(path: Path, file: Path) -> Iterator[None]:
    """Have the folder alone, as far as the file system knows locks."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise BadInput(file, f"cannot be read ({error.strerror})", _EXPECTED) from error
    try:
        if try_lock(descriptor) is False:
            raise BadInput(path, "is in use by another evaluation", "one at a time")
        yield
    finally:
        os.close(descriptor)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    with whole_file(file) as temporary:
        temporary.write_text(json_text(dict(document)) + "\n", encoding="utf-8")


def _plain(name: str) -> str:
    """A runtime's name as one of a file: of a user's own, anything may be in it."""
    return re.sub(r"[^\w.-]|^\.+", "_", name, flags=re.ASCII)[:80] or "_"
