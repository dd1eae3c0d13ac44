"""The file of a published set of weights: from the cache folder, or fetched into it.

``VGG16_CACHE`` names the cache folder, ``VGG16_OFFLINE=1`` forbids the network, and
``VGG16_MIRROR`` names a URL under which all the files lie by their names.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vgg16_spec.errors import BadInput
from vgg16_spec.files.cache import cache_folder, ensure_folder
from vgg16_weights.pretrained import Published

if TYPE_CHECKING:
    from vgg16_weights.downloads import Progress

_NO: Final = frozenset({"", "0", "false", "no", "off"})


def location(record: Published) -> Path:
    """Where the file belongs in the cache folder; one put there by hand is used."""
    return cache_folder() / "pretrained" / record.file


def is_cached(record: Published) -> bool:
    """Whether the file is there, by its name: its digest is looked at when it is used."""
    return location(record).is_file() or (_by_hub(record) and _in_hub_cache(record) is not None)


def fetch(record: Published, progress: Progress | None = None) -> Path:
    """The file, with the digest of the record; from the network where it is not in the cache.

    The digest is looked at every time: reading 0.55 GB takes a second, and a file that was changed
    or damaged since never becomes a result. Of several processes one fetches, the others wait.

    Raises ``BadInput`` where there is no such file to be had, or its digest is another.
    """
    path = location(record)
    found = record.digest.of(path) if path.is_file() else ""
    if record.digest.matches(found):
        return path
    if offline():
        if not found and _by_hub(record) and (cached := _in_hub_cache(record)) is not None:
            return _checked(record, cached)
        problem = f"its {record.digest.algorithm} is {found}" if found else "is not in the cache"
        raise BadInput(record.name, f"{problem}, and VGG16_OFFLINE is set", by_hand(record))
    if _by_hub(record):
        return _checked(record, _from_hub(record))
    return _fetched(record, path, progress)


def by_hand(record: Published) -> str:
    """How to do without the network."""
    return f"the file {record.file} ({record.digest}) put at {location(record)} by hand"


def offline() -> bool:
    """Whether ``VGG16_OFFLINE`` forbids the network."""
    return os.environ.get("VGG16_OFFLINE", "").lower() not in _NO


def _fetched(record: Published, path: Path, progress: Progress | None) -> Path:
    from filelock import FileLock

    from vgg16_weights.downloads import Order, check_url, download

    url, mirror = record.url, os.environ.get("VGG16_MIRROR", "")
    if mirror:
        url = f"{mirror.rstrip('/')}/{record.file}"
        check_url("VGG16_MIRROR", url)
    ensure_folder(path.parent)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise BadInput(path.parent, problem, "a writable folder in VGG16_CACHE") from error
    try:
        # Another process may have been faster.
        if not (path.is_file() and record.digest.matches(record.digest.of(path))):
            download(Order(url, path, record.digest, record.size_limit, by_hand(record)), progress)
    finally:
        lock.release()
    return path


def _checked(record: Published, path: Path) -> Path:
    if not record.digest.matches(found := record.digest.of(path)):
        problem = f"its {record.digest.algorithm} is {found}"
        raise BadInput(path, problem, f"{record.digest}: remove the file to fetch it anew")
    return path


def _by_hub(record: Published) -> bool:
    """Whether ``huggingface_hub`` gets the file; a mirror has it under its own name."""
    return bool(record.repository) and not os.environ.get("VGG16_MIRROR")


def _hub_file(record: Published) -> str:
    return record.url.rpartition("/")[2]


def _in_hub_cache(record: Published) -> Path | None:
    """The file in the cache that ``huggingface_hub`` shares with timm, if it is there."""
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(record.repository, _hub_file(record), revision=record.revision)
    return Path(found) if isinstance(found, str) else None


def _from_hub(record: Published) -> Path:
    if find_spec("huggingface_hub") is None:
        problem = "needs huggingface_hub, which is not installed"
        raise BadInput(record.name, problem, 'pip install "vgg16-parity[hub]"')
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # It logs every attempt; what is wrong is said once, below.
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return Path(hf_hub_download(record.repository, _hub_file(record), revision=record.revision))
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        problem = f"cannot be fetched from {record.repository} ({error})"
        raise BadInput(record.name, problem, by_hand(record)) from error
    finally:
        log.setLevel(level)
