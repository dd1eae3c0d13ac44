"""The file of a published set of weights: from the cache folder, or fetched into it.

``VGG16_CACHE`` names the cache folder, ``VGG16_OFFLINE=1`` forbids the network, and
``VGG16_MIRROR`` names a URL under which all the files lie by their names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

from vgg16_spec.errors import BadInput
from vgg16_spec.files.cache import cache_folder, ensure_folder
from vgg16_weights.pretrained import Published

# Bytes so far and, where the server states it, in all.
Progress: TypeAlias = Callable[[int, int | None], None]

_NO: Final = frozenset({"", "0", "false", "no", "off"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_RETRIES: Final = 3
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_PIECE: Final = 1 << 18


def location(record: Published) -> Path:
    """Where the file belongs in the cache folder; one put there by hand is used."""
    return cache_folder() / "pretrained" / record.file


def is_cached(record: Published) -> bool:
    """Whether the file is there, by its name: its digest is looked at when it is used."""
    return location(record).is_file() or (_by_hub(record) and _in_hub_cache(record) is not None)


def fetch(record: Published, progress: Progress | None = None) -> Path:
    """The file, with the digest of the record; from the network where it is not in the cache.

    The digest is computed every time: reading 0.55 GB takes a second, and a file that was changed
    or damaged since never becomes a result. Of several processes one fetches, the others wait.

    Raises:
        BadInput: The file cannot be had, or has another digest.
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
    return _download(record, path, progress)


def by_hand(record: Published) -> str:
    """How to do without the network."""
    return f"the file {record.file} ({record.digest}) put at {location(record)} by hand"


def offline() -> bool:
    """Whether ``VGG16_OFFLINE`` forbids the network."""
    return os.environ.get("VGG16_OFFLINE", "").lower() not in _NO


def _download(record: Published, path: Path, progress: Progress | None) -> Path:
    import pooch
    from filelock import FileLock

    url, mirror = record.url, os.environ.get("VGG16_MIRROR", "")
    if mirror:
        url = f"{mirror.rstrip('/')}/{record.file}"
        _check_mirror(url)
    ensure_folder(path.parent)
    # Of some files only the first digits are published: these are looked at below alone.
    known = str(record.digest).replace(" ", ":") if record.digest.is_whole else None
    files = pooch.create(
        path=path.parent,
        base_url="",
        registry={record.file: known},
        urls={record.file: url},
        retry_if_failed=_RETRIES,
    )
    host = urlsplit(url).hostname
    downloader = pooch.HTTPDownloader(
        progressbar=_Bar(progress, record.size_limit),
        chunk_size=_PIECE,
        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        hooks={"response": _check_redirect},
        proxies={"http": "", "https": ""} if host in _LOCAL else None,
    )
    log = pooch.get_logger()
    log.setLevel(logging.WARNING)  # the progress bar says what happens
    try:
        with FileLock(path.with_name(f".{path.name}.lock")):
            if path.is_file() and not record.digest.matches(record.digest.of(path)):
                path.unlink()
            files.fetch(record.file, downloader=downloader)
            path.chmod(0o666 & ~_umask())  # pooch's temporary files are their owner's alone
    except (OSError, ValueError) as error:  # those of requests are OSErrors too
        raise BadInput(url, f"cannot be fetched ({error})", by_hand(record)) from error
    if not record.digest.matches(found := record.digest.of(path)):
        path.unlink()
        raise BadInput(url, f"its {record.digest.algorithm} is {found}", str(record.digest))
    return path


def _umask() -> int:
    """The permissions that new files lack; reading them sets them, for a moment."""
    os.umask(mask := os.umask(0o077))
    return mask


class _Bar:
    """A progress bar as pooch moves one, for a function that takes the bytes so far."""

    def __init__(self, progress: Progress | None, limit: int) -> None:
        self._progress = progress
        self._limit = limit
        self._done = self._total = 0

    @property
    def total(self) -> int:
        """The bytes of the file; pooch sets it at the start of each try."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total, self._done = total, 0
        self._check(total)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ValueError(f"it has more than {self._limit} bytes")

    def update(self, more: int) -> None:
        """Count bytes; the last piece may be shorter than pooch says."""
        self._done = min(self._done + more, self._total or self._done + more)
        self._check(self._done)
        if self._progress is not None and more:
            self._progress(self._done, self._total or None)

    def reset(self) -> None:
        """Begin again, as pooch does before it states the total at the end."""
        self._done = 0

    def close(self) -> None:
        """Do nothing: whoever made the bar ends it."""


def _is_safe(url: str) -> bool:
    """Whether a URL is of scheme https, or of http on this computer."""
    parts = urlsplit(url)
    host = parts.hostname
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL))


def _check_redirect(response: Any, **_: Any) -> None:
    """Raise ``ValueError`` where a server sends the client to an address that is not safe."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if not _is_safe(target):
            raise ValueError(f"it leads to {target}")


def _check_mirror(url: str) -> None:
    """Raise ``BadInput`` unless the URL is of scheme https, or of http on this computer."""
    try:
        safe = _is_safe(url)
    except ValueError as error:
        raise BadInput("VGG16_MIRROR", f"{url!r} is no URL ({error})", "https://…") from error
    if not safe:
        problem = f"{url!r} is refused"
        raise BadInput("VGG16_MIRROR", problem, "https://…, or http:// on localhost")


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
