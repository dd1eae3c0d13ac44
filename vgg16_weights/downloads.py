"""A file over HTTP: resumed where it broke off, retried, and whole and right before it appears."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

import httpx2

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import sync
from vgg16_weights.pretrained import Digest

# Bytes so far and, where the server says it, in all.
Progress: TypeAlias = Callable[[int, int | None], None]

# What a try has to bring to count as getting on: a server that gives less each time is given up.
_GETTING_ON: Final = 1 << 20
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again.

    Attributes:
        tries: in a row that bring next to nothing.
        first_wait: after the first of them; each further one waits twice as long.
        longest_wait: between two tries; a server that asks for more by ``Retry-After`` is given up.
        connect: for a connection.
        read: for the next bytes.
    """

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    connect: float = 10.0
    read: float = 30.0


@dataclass(frozen=True)
class Order:
    """What to fetch.

    Attributes:
        url: of scheme https; http on this computer only.
        path: where the file is to appear, in a folder that exists.
        digest: what its bytes have to be.
        limit: the most bytes to take.
        remedy: what an error tells the user to do instead.
    """

    url: str
    path: Path
    digest: Digest
    limit: int
    remedy: str = ""

    @property
    def partial(self) -> Path:
        """The bytes so far, kept for the next try whatever happens to this process."""
        return self.path.with_name(f".{self.path.name}.part")


def check_url(label: str, url: str) -> None:
    """Raise ``BadInput`` unless the URL is one that files are fetched from."""
    try:
        parts = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise BadInput(label, f"{url!r} is no URL ({error})", "https://…") from error
    if not parts.host or not (parts.scheme == "https" or _is_local(parts)):
        raise BadInput(label, f"{url!r} is refused", "https://…, or http:// on localhost")


def download(
    order: Order, progress: Progress | None = None, patience: Patience | None = None
) -> None:
    """Fetch a file; it appears under its name once its digest is right, and not before.

    What has arrived is kept in a hidden file beside and continued there, by this process or a later
    one. Whether it still belongs to the file on the server is not asked: the digest tells at the
    end, and where a continued file is wrong, it is fetched once more from the start. One process at
    a time: the caller locks.

    Raises ``BadInput`` for a file that the server does not give, or not in time, that is too long,
    for which there is no room, or that has another digest; for a wrong digest nothing is kept.
    """
    patience = patience or Patience()
    hooks = {"request": [lambda request: check_url("redirect", str(request.url))]}
    timeout = httpx2.Timeout(patience.read, connect=patience.connect)
    try:
        with httpx2.Client(
            timeout=timeout,
            follow_redirects=True,
            event_hooks=hooks,
            # A proxy's settings are for hosts elsewhere.
            trust_env=not _is_local(httpx2.URL(order.url)),
        ) as client:
            _whole(client, order, progress, patience)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        expected = "a writable folder with enough free space in VGG16_CACHE"
        raise BadInput(order.path, problem, expected) from error


def _whole(
    client: httpx2.Client, order: Order, progress: Progress | None, patience: Patience
) -> None:
    """The whole file under its name, or ``BadInput``."""
    for may_start_again in (True, False):
        continued = _body(client, order, progress, patience)
        found = order.digest.of(order.partial)
        if order.digest.matches(found):
            sync(order.partial)
            order.partial.replace(order.path)
            sync(order.path.parent)
            return
        order.partial.unlink()
        if not (continued and may_start_again):
            problem = f"the {order.digest.algorithm} of what arrived is {found}"
            raise BadInput(order.url, problem, str(order.digest))


class _Failed(Exception):
    """One try failed in a way that may pass; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


def _body(
    client: httpx2.Client, order: Order, progress: Progress | None, patience: Patience
) -> bool:
    """The whole body in the partial file; whether it is of more than one answer."""
    failures, continued = 0, False
    while True:
        start = _size(order.partial)
        try:
            return _receive(client, order, start, progress) or continued
        except (httpx2.ProxyError, httpx2.UnsupportedProtocol) as error:
            _give_up(order, str(error))
        except httpx2.TransportError as error:
            failed = _Failed(str(error) or type(error).__name__)
        except httpx2.HTTPError as error:
            _give_up(order, str(error) or type(error).__name__)
        except _Failed as error:
            failed = error
        brought = _size(order.partial) - start
        continued = True
        failures = 1 if brought >= _GETTING_ON else failures + 1
        if failures >= patience.tries:
            _give_up(order, f"{failures} tries in a row failed, the last: {failed}")
        if failed.wait > patience.longest_wait:
            _give_up(order, f"{failed}, and asks to wait {failed.wait:.0f} s")
        backoff = min(patience.first_wait * 2 ** (failures - 1), patience.longest_wait)
        time.sleep(max(failed.wait, backoff))


def _receive(client: httpx2.Client, order: Order, start: int, progress: Progress | None) -> bool:
    """One answer into the partial file; whether it continued what was there."""
    # Bytes as they are in the file: a compressed answer could not be continued.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with client.stream("GET", order.url, headers=headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return True  # nothing is left to fetch, or what is there is wrong: the digest tells
        _check_status(order, response)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            given = response.headers.get("Content-Range", "")
            if not given.startswith(f"bytes {start}-"):
                order.partial.unlink(missing_ok=True)
                raise _Failed(f"the server gives the range {given!r}, not from {start}")
        else:
            start = 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _check_room(order, start, total)
        # Unbuffered, in pieces as they come: what has arrived is kept when the process is killed.
        with order.partial.open("ab" if start else "wb", buffering=0) as file:
            for block in response.iter_raw():
                file.write(block)
                if file.tell() > order.limit:
                    file.truncate(0)
                    _give_up(order, f"sends more than {order.limit:,} bytes")
                if progress is not None:
                    progress(file.tell(), total)
    return start > 0


def _check_status(order: Order, response: httpx2.Response) -> None:
    status = f"the server answers {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in _LATER:
        raise _Failed(status, _retry_after(response.headers.get("Retry-After", "")))
    if not response.is_success:
        _give_up(order, status)


def _retry_after(value: str) -> float:
    """Seconds from now, of either form of the header (RFC 9110, 10.2.3); 0 where there is none."""
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _check_room(order: Order, start: int, total: int | None) -> None:
    """Refuse now what would be refused or would fill the disk later."""
    if total is None:
        return
    if total > order.limit:
        order.partial.unlink(missing_ok=True)
        _give_up(order, f"is {total:,} bytes, more than {order.limit:,}")
    free = shutil.disk_usage(order.path.parent).free
    if total - start > free:
        problem = f"needs {total - start:,} bytes, {free:,} are free"
        raise BadInput(order.path, problem, "a folder with more space in VGG16_CACHE")


def _give_up(order: Order, problem: str) -> NoReturn:
    raise BadInput(order.url, f"cannot be fetched: {problem}", order.remedy)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_local(url: httpx2.URL) -> bool:
    return url.scheme == "http" and url.host in _LOCAL
