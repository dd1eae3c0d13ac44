"""An HTTP server on this computer that misbehaves as told, one request after the other."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Small enough that a dropped answer leaves a part of every file, however small.
_PIECE = 1 << 12


@dataclass(frozen=True)
class Answer:
    """How one request is answered.

    Attributes:
        status: of the answer.
        reason: what the answer says beside the status, if not what is usual.
        drop_after: bytes of the body after which the connection closes; the length was promised
            whole.
        hang: seconds of silence before each piece of the second half of the body.
        hang_first: seconds of silence before each letter of the answer's first line.
        location: where a redirect leads.
        compressed: whether the body is compressed on its way.
    """

    status: int = 200
    reason: str = ""
    drop_after: int | None = None
    hang: float = 0.0
    hang_first: float = 0.0
    location: str = ""
    compressed: bool = False


@dataclass
class WeightServer:
    """What is served, what is to happen next, and what was asked for.

    Attributes:
        url: where it is.
        files: path without its leading slash -> content.
        script: the next answers; a plain one where it is empty.
        requests: path and range of every request so far.
        authorizations: what the requests said of who asks, where they did.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    script: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    served: WeightServer

    def do_HEAD(self) -> None:
        """What the hub's client asks first: which commit and which bytes these are."""
        whole = self.served.files.get(self.path.lstrip("/"))
        self.send_response(404 if whole is None else 200)
        if whole is not None:
            self.send_header("Content-Length", str(len(whole)))
            self.send_header("ETag", f'"{hashlib.sha256(whole).hexdigest()}"')
            self.send_header("X-Repo-Commit", self.path.split("/")[-2])
        self.end_headers()

    def do_GET(self) -> None:
        served, wanted = self.served, self.headers.get("Range", "")
        served.requests.append((self.path, wanted))
        served.authorizations += filter(None, [self.headers.get("Authorization")])
        answer = served.script.pop(0) if served.script else Answer()
        whole = served.files.get(self.path.lstrip("/"))
        if answer.hang_first:
            self._spell(b"HTTP/1.1 200 OK", answer.hang_first)
            return
        status = 404 if whole is None else answer.status
        body = whole if whole is not None and status == 200 else b"an error page"
        self.send_response(status, answer.reason or None)
        if answer.compressed:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        if answer.location:
            self.send_header("Location", answer.location)
        self.end_headers()
        self._send(body, answer)
        self.close_connection = True

    def _spell(self, text: bytes, seconds: float) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            for letter in text:
                time.sleep(seconds)
                self.wfile.write(bytes([letter]))
                self.wfile.flush()
        self.close_connection = True

    def _send(self, body: bytes, answer: Answer) -> None:
        end = len(body) if answer.drop_after is None else answer.drop_after
        try:
            for begin in range(0, end, _PIECE):
                if answer.hang and begin >= end // 2:
                    self.wfile.flush()
                    time.sleep(answer.hang)
                self.wfile.write(body[begin : min(begin + _PIECE, end)])
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has had enough

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[WeightServer]:
    """A server on a free port, gone at the end."""
    served = WeightServer()
    handler = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
