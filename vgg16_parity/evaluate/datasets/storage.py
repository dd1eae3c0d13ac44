"""Where data sets are: on this machine, and at URLs of object storage.

A file has a ``root``, which is a folder's path or URL, and a ``name`` below it with ``/`` between
its parts. A URL is reached by pyarrow, or by fsspec for the schemes that pyarrow does not know.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal
from urllib.parse import unquote, urlsplit

from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_spec.errors import BadInput, require_file

What = Literal["file", "folder", "missing", "other"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# What a client is told beside the place: ``?endpoint_override=…``.
_QUERY: Final = re.compile(r"\?\w+=.*", re.DOTALL)
_OF_PYARROW: Final = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
_PASSWORD: Final = re.compile("(?<=://)[^/@]*@")
EXTRA: Final = 'pip install "vgg16-parity[datasets]"'
_READABLE: Final = "a file that can be read"
# What macOS adds to archives.
_NO_DATA: Final = "__MACOSX"


@dataclass
class Listing:
    """What is below a folder.

    Attributes:
        files: their names below it, sorted; hidden ones are left out.
        folders: those directly in it, sorted, empty ones too where the storage has such.
        skipped: folders that cannot be read, and links to folders that are read already.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def is_url(location: str) -> bool:
    """Whether it is a URL, of whatever scheme."""
    return _URL.match(location) is not None


def normal(location: str) -> str:
    """The path of a ``file://`` URL; anything else as it is."""
    if location.lower().startswith("file://"):
        return unquote(urlsplit(location).path)
    return location


def shown(location: str) -> str:
    """A location as messages have it: without a password and without what a client is told."""
    return _QUERY.sub("", _PASSWORD.sub("", location)) if is_url(location) else location


def parted(location: str) -> tuple[str, str]:
    """The root and the name of a file."""
    if not is_url(location):
        path = Path(location)
        return str(path.parent), path.name
    bare, query = _and_query(location)
    root, _, name = bare.rpartition("/")
    return root + query, name


def joined(root: str, name: str) -> str:
    """The path or the URL of a file."""
    if not is_url(root):
        return os.path.join(root, name)  # noqa: PTH118
    bare, query = _and_query(root)
    return f"{bare.rstrip('/')}/{name}{query}"


def _and_query(url: str) -> tuple[str, str]:
    bare = _QUERY.sub("", url)
    return bare, url[len(bare) :]


def what_is(location: str) -> What:
    """What there is. Raises ``BadInput`` where the storage cannot be asked."""
    if is_url(location):
        return _what_is_remote(location)
    try:
        if Path(location).is_dir():
            return "folder"
        if Path(location).is_file():
            return "file"
        return "other" if Path(location).exists() else "missing"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(location, f"cannot be read ({reason})", _READABLE) from error


def listing(root: str) -> Listing:
    """Everything below a folder.

    Links are followed, and no folder is read twice: circles end. Raises ``BadInput`` where the
    folder itself cannot be read.
    """
    found = _remote_listing(root) if is_url(root) else _local_listing(root)
    found.files.sort()
    found.folders.sort()
    found.skipped.sort(key=lambda skipped: skipped.name)
    return found


@contextmanager
def opened(root: str, name: str) -> Iterator[BinaryIO]:
    """A file to read from, at any position. Raises ``BadInput`` where it cannot be opened."""
    file = open_file(root, name)
    try:
        yield file
    finally:
        file.close()


def open_file(root: str, name: str) -> BinaryIO:
    """The same, for the caller to close."""
    location = joined(root, name)
    if not is_url(root):
        path = require_file(location, _READABLE)
        try:
            return path.open("rb")
        except OSError as error:
            reason = f"cannot be opened ({error.strerror})"
            raise BadInput(path, reason, _READABLE) from error
    filesystem, folder = _filesystem(root)
    with _asked(location):
        stream: BinaryIO = filesystem.open_input_file(_below(folder, name))
        return stream


def version(root: str, name: str) -> tuple[int, ...]:
    """What changes when a file of this machine is written again; empty for any other."""
    try:
        status = os.stat(joined(root, name))  # noqa: PTH116
    except (OSError, ValueError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def modules(given: str) -> Any:
    """Pyarrow. Raises ``BadInput`` with the remedy where it is not installed."""
    try:
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError as error:
        raise BadInput(shown(given), "needs pyarrow, which is not installed", EXTRA) from error
    return pyarrow


def _local_listing(root: str) -> Listing:
    found = Listing()
    # Folders before links to folders: a picture has the name of the folder that it is in.
    folders, links = deque([""]), deque[str]()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        name = folders.popleft() if folders else links.popleft()
        path = joined(root, name)
        try:
            status = os.stat(path)  # noqa: PTH116
            identity = status.st_dev, status.st_ino
            if identity in seen:
                found.skipped.append(Skipped(name, "is a link to a folder that is read already"))
                continue
            seen.add(identity)
            with os.scandir(path) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    below = f"{name}/{entry.name}" if name else entry.name
                    if entry.name.startswith(".") or entry.name == _NO_DATA:
                        continue
                    if not _is_folder(entry):
                        found.files.append(below)
                        continue
                    (links if entry.is_symlink() else folders).append(below)
                    if not name:
                        found.folders.append(below)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            problem = f"cannot be read ({reason})"
            if not name:
                raise BadInput(root, problem, "a folder that can be read") from error
            found.skipped.append(Skipped(name, problem))
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links: opening it says so
        return False


def _remote_listing(root: str) -> Listing:
    filesystem, folder = _filesystem(root)
    files = modules(root).fs
    with _asked(root):
        infos = filesystem.get_file_info(files.FileSelector(folder, recursive=True))
    found = Listing()
    start = len(folder.rstrip("/")) + 1
    for info in infos:
        name = info.path[start:].rstrip("/")
        parts = name.split("/")
        if not name or _NO_DATA in parts or any(part.startswith(".") for part in parts):
            continue
        if info.type == files.FileType.File:
            found.files.append(name)
        if len(parts) > 1 or info.type == files.FileType.Directory:
            found.folders.append(parts[0])
    found.folders = list(set(found.folders))
    return found


def _what_is_remote(location: str) -> What:
    filesystem, path = _filesystem(location)
    types = modules(location).fs.FileType
    with _asked(location):
        kind = filesystem.get_file_info(path).type
    known: dict[Any, What] = {types.File: "file", types.Directory: "folder"}
    return known.get(kind, "missing" if kind == types.NotFound else "other")


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system that a URL is in, as pyarrow has it, and the path there.

    The path is taken as it is, as by other tools: blanks, braces and percent signs are themselves.
    """
    bare, query = _and_query(url)
    scheme, _, rest = bare.partition("://")
    host, _, path = rest.partition("/")
    filesystem, base = _host(scheme.lower(), host, query)
    return filesystem, _below(base, path)


@lru_cache(maxsize=256)
def _host(scheme: str, host: str, query: str) -> tuple[Any, str]:
    url = f"{scheme}://{host}/{query}"
    files = modules(url).fs
    with _asked(url):
        if scheme in _OF_PYARROW:
            filesystem, path = files.FileSystem.from_uri(url)
        else:
            try:
                import fsspec
            except ImportError as error:
                problem = "needs fsspec, which is not installed"
                raise BadInput(shown(url), problem, EXTRA) from error
            known, path = fsspec.core.url_to_fs(url)
            filesystem = files.PyFileSystem(files.FSSpecHandler(known))
    return filesystem, str(path)


def _below(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder


@contextmanager
def _asked(location: str) -> Iterator[None]:
    """Whatever a client of some storage raises, as ``BadInput``."""
    try:
        yield
    except BadInput:
        raise
    except FileNotFoundError as error:
        raise BadInput(shown(location), "no such file", _READABLE) from error
    except Exception as error:
        text = _PASSWORD.sub("", f"{error!s:.200}")
        raise BadInput(shown(location), f"cannot be reached ({text})", _READABLE) from error
