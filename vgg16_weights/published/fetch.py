"""The file of a published set of weights: from the cache folder, or fetched into it.

``VGG16_CACHE`` names the cache folder, ``VGG16_OFFLINE=1`` forbids the network, and
``VGG16_MIRROR`` names a URL under which all the files lie by their names.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.files.cache import cache_folder, check_own_file, ensure_folder
from vgg16_weights.published.pretrained import Published

if TYPE_CHECKING:
    from requests import Response

# Bytes so far and, where the server states it, in all.
Progress: TypeAlias = Callable[[int, int | None], None]

_NO: Final = frozenset({"", "0", "false", "no", "off"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_RETRIES: Final = 3
# What a server may answer otherwise a second later.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_CONNECT_SECONDS, _READ_SECONDS, _ANSWER_SECONDS = 10.0, 30.0, 120.0
# A file that comes more slowly, over so many seconds, is given up: 0.55 GB take 3 hours at most.
_LEAST_SPEED, _SPEED_SECONDS = 50_000, 60.0
# Of a URL, which need not be a valid one.
_CREDENTIALS: Final = re.compile("(?<=//)[^/?#]*@")
_BLOCK_BYTES: Final = 1 << 18


def location(record: Published) -> Path:
    """Where the file belongs in the cache folder; one put there by hand is used."""
    return cache_folder() / "pretrained" / record.file


def is_cached(record: Published) -> bool:
    """Whether the file is there, by its name: its digest is looked at when it is used."""
    return location(record).is_file() or _in_hub_cache(record) is not None


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
        cached = None if found else _in_hub_cache(record)
        if cached is None:
            problem = (
                f"its {record.digest.algorithm} is {found}" if found else "is not in the cache"
            )
            raise BadInput(record.name, f"{problem}, and VGG16_OFFLINE is set", by_hand(record))
    elif _by_hub(record):
        cached = _from_hub(record)
    else:
        return _download(record, path, progress)
    _check_digest(record, cached, cached, f"{record.digest}: remove the file to fetch it anew")
    return cached


def by_hand(record: Published) -> str:
    """How to do without the network."""
    return f"the file {record.file} ({record.digest}) put at {location(record)} by hand"


def offline() -> bool:
    """Whether ``VGG16_OFFLINE`` forbids the network."""
    return os.environ.get("VGG16_OFFLINE", "").lower() not in _NO


def _download(record: Published, path: Path, progress: Progress | None) -> Path:
    from filelock import FileLock

    url, mirror = record.url, os.environ.get("VGG16_MIRROR", "")
    if mirror:
        url = f"{mirror.rstrip('/')}/{record.file}"
        _check_mirror(url)
    ensure_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    for each in (path, lock):
        check_own_file(each)
    try:
        held = FileLock(lock).acquire()
    except OSError as error:
        problem = f"the cache folder cannot be written ({error.strerror})"
        raise BadInput(path.parent, problem, "a writable folder in VGG16_CACHE") from error
    with held:
        # Another process may have fetched it meanwhile.
        if not (path.is_file() and record.digest.matches(record.digest.of(path))):
            with whole_file(path) as temporary:
                _receive(record, url, temporary, progress)
                _check_digest(record, temporary, _public(url), str(record.digest))
    return path


def _receive(record: Published, url: str, path: Path, progress: Progress | None) -> None:
    """Fill a file with what is at a URL; where the connection fails, again from the start."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    for attempt in range(1 + _RETRIES):
        try:
            return _receive_once(record.size_limit, url, path, progress)
        except (RequestException, HTTPError, ValueError) as error:
            if attempt == _RETRIES or not _may_pass(error):
                problem = f"cannot be fetched ({error})"
                raise BadInput(_public(url), problem, by_hand(record)) from error
        time.sleep(1 + attempt)
    return None


def _may_pass(error: Exception) -> bool:
    """Whether a failure is the connection's or a busy server's."""
    from requests import exceptions
    from urllib3 import exceptions as lower

    if isinstance(error, exceptions.HTTPError):
        return error.response is not None and error.response.status_code in _PASSING
    broken = (
        exceptions.ConnectionError,
        exceptions.Timeout,
        lower.ProtocolError,
        lower.TimeoutError,
    )
    return isinstance(error, broken)


def _receive_once(
    limit: int,
    url: str,
    path: Path,
    progress: Progress | None,
    block_bytes: int = _BLOCK_BYTES,
) -> None:
    """The same, once. Raises ``ValueError`` for more bytes than ``limit``, or too slow ones."""
    import requests

    with _answer(url) as response, path.open("wb") as file:
        response.raise_for_status()
        total = response.raw.length_remaining or 0
        if "content-encoding" in response.headers:
            total = 0  # it counts the compressed bytes
        _check_size(total, limit)
        since, then = time.monotonic(), 0
        # Whatever has come, which may be less than a block: so a slow server is noticed.
        while block := response.raw.read1(block_bytes, decode_content=True):
            file.write(block)
            _check_size(file.tell(), limit)
            if (seconds := time.monotonic() - since) > _SPEED_SECONDS:
                if file.tell() - then < _LEAST_SPEED * seconds:
                    raise ValueError(f"it comes at less than {_LEAST_SPEED:,} bytes a second")
                since, then = time.monotonic(), file.tell()
            if progress is not None:
                progress(file.tell(), total or None)
        if total and file.tell() != total:
            raise requests.ConnectionError(f"it ended after {file.tell()} of {total} bytes")


def _answer(url: str) -> Response:
    """What a server answers, whose content is still to come.

    Raises what `requests` does, also for an answer that does not begin in time: a server may send
    its first lines letter by letter.
    """
    import requests

    answer: Future[Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(
                requests.get(
                    _public(url),
                    auth=_credentials(url),
                    stream=True,
                    timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    hooks={"response": _check_redirect},
                    proxies={"http": "", "https": ""} if urlsplit(url).hostname in _LOCAL else None,
                )
            )
        except BaseException as error:  # the caller's to handle
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(_ANSWER_SECONDS)
    except TimeoutError:
        raise requests.Timeout(f"no answer in {_ANSWER_SECONDS:g} seconds") from None


def _public(url: str) -> str:
    """A URL without the name and the password in it."""
    return _CREDENTIALS.sub("", url, count=1)


def _credentials(url: str) -> tuple[str, str] | None:
    """The name and the password in a URL."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"it has more than {limit} bytes")


def _is_safe(url: str) -> bool:
    """Whether a URL is of scheme https, or of http on this computer."""
    parts = urlsplit(url)
    host = parts.hostname
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL))


def _check_redirect(response: Response, **_: Any) -> None:
    """Raise ``ValueError`` where a server sends the client to an address that is not safe."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if not _is_safe(target):
            response.close()
            raise ValueError(f"it leads to {_public(target)}")


def _check_mirror(url: str) -> None:
    """Raise ``BadInput`` unless the URL is of scheme https, or of http on this computer."""
    try:
        problem = "" if _is_safe(url) else f"{_public(url)!r} is refused"
    except ValueError as error:
        problem = f"{_public(url)!r} is not a URL ({error})"
    if problem:
        raise BadInput("VGG16_MIRROR", problem, "https://…, or http:// on localhost")


def _check_digest(record: Published, path: Path, label: str | Path, expected: str) -> None:
    """Raise ``BadInput`` of that label for a file that is another."""
    if not record.digest.matches(found := record.digest.of(path)):
        raise BadInput(label, f"its {record.digest.algorithm} is {found}", expected)


def _by_hub(record: Published) -> bool:
    """Whether ``huggingface_hub`` gets the file; a mirror has it under its own name."""
    return bool(record.repository) and not os.environ.get("VGG16_MIRROR")


def _hub_file(record: Published) -> str:
    return record.url.rpartition("/")[2]


def _in_hub_cache(record: Published) -> Path | None:
    """The file in the cache that ``huggingface_hub`` shares with timm, if it is there."""
    if not _by_hub(record) or find_spec("huggingface_hub") is None:
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
