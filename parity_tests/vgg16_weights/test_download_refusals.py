"""What a server does not give, or not in time, is one line; what may pass is waited for."""

from __future__ import annotations

import errno
import os
import shutil
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from parity_tests.support.weights.downloading import QUICK, assert_whole, names, order
from parity_tests.support.weights.downloading import serving as serving
from parity_tests.support.weights.server import Answer, WeightServer, serve
from vgg16_spec.errors import BadInput
from vgg16_weights.downloads import check_url, download


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server: WeightServer, tmp_path: Path, status: int) -> None:
    server.script = [Answer(status=status)] * 9
    with pytest.raises(BadInput) as error:
        download(order(server, tmp_path), None, QUICK)
    assert str(error.value).startswith(
        f"{server.url}/w.pth: cannot be fetched: the server answers {status} "
    )
    assert str(error.value).endswith("; expected a file put there by hand")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: WeightServer, tmp_path: Path, status: int) -> None:
    server.script = [Answer(status=status)] * 2
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert len(server.requests) == 3


def test_what_does_not_pass_is_given_up(server: WeightServer, tmp_path: Path) -> None:
    server.script = [Answer(status=503)] * 9
    with pytest.raises(BadInput, match=r"4 tries in a row failed, the last: .* 503"):
        download(order(server, tmp_path), None, QUICK)
    assert len(server.requests) == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(server: WeightServer, tmp_path: Path, form: str) -> None:
    after = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    server.script = [Answer(status=429, headers={"Retry-After": after})]
    start = time.monotonic()
    download(order(server, tmp_path), None, QUICK)
    assert time.monotonic() - start >= 0.9  # a date is of whole seconds
    assert_whole(tmp_path)


def test_a_retry_after_beyond_patience_is_told(server: WeightServer, tmp_path: Path) -> None:
    server.script = [Answer(status=429, headers={"Retry-After": "3600"})]
    start = time.monotonic()
    with pytest.raises(BadInput, match=r"answers 429 .*, and asks to wait 3600 s"):
        download(order(server, tmp_path), None, QUICK)
    assert time.monotonic() - start < 10


def test_a_silent_server_is_left_and_asked_again(server: WeightServer, tmp_path: Path) -> None:
    server.script = [Answer(hang=30)]
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert server.ranges[1].startswith("bytes=")


def test_nobody_at_the_address_is_one_line(tmp_path: Path) -> None:
    with serve() as gone:
        pass
    with pytest.raises(BadInput, match="cannot be fetched: 4 tries in a row failed"):
        download(order(gone, tmp_path), None, QUICK)
    assert names(tmp_path) == []


def test_redirects_are_followed(server: WeightServer, tmp_path: Path) -> None:
    server.files["moved.pth"] = b""
    location = {"Location": f"{server.url}/w.pth"}
    server.script = [Answer(status=302, headers=location)]
    download(order(server, tmp_path, url=f"{server.url}/moved.pth"), None, QUICK)
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    ("elsewhere", "message"),
    [
        ("http://example.org/w.pth", "redirect: 'http://example.org/w.pth' is refused"),
        ("file:///etc/passwd", "redirect: 'file://.*/etc/passwd' is refused"),
        ("loop", "cannot be fetched: Exceeded maximum allowed redirects"),
    ],
)
def test_redirects_to_other_places_are_refused(
    server: WeightServer, tmp_path: Path, elsewhere: str, message: str
) -> None:
    location = {"Location": f"{server.url}/w.pth" if elsewhere == "loop" else elsewhere}
    server.script = [Answer(status=302, headers=location)] * 50
    with pytest.raises(BadInput, match=message):
        download(order(server, tmp_path), None, QUICK)
    assert names(tmp_path) == []


@pytest.mark.parametrize("no_length", [False, True])
def test_more_bytes_than_the_file_can_have_are_not_taken(
    server: WeightServer, tmp_path: Path, no_length: bool
) -> None:
    server.script = [Answer(body=bytes(5_000_000), no_length=no_length)]
    message = "sends more than 400,000" if no_length else "is 5,000,000 bytes, more than 400,000"
    with pytest.raises(BadInput, match=message):
        download(order(server, tmp_path), None, QUICK)
    assert names(tmp_path) in ([], [".w.pth.part"])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_disk_without_room_is_told_before(
    server: WeightServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match=r"needs 300,000 bytes, 1,000 are free"):
        download(order(server, tmp_path), None, QUICK)


def test_a_disk_that_fills_up_is_one_line(server: WeightServer, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BadInput, match=r"w\.pth: cannot be written \(No space left on device\)"):
        download(order(server, tmp_path), full, QUICK)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "ftp://localhost",
        "file:///tmp",
        "weights",
        "",
        "https://",
        "http://localhost.example.org",
        "http://[",
    ],
)
def test_other_schemes_than_https_are_refused(url: str) -> None:
    with pytest.raises(BadInput, match="VGG16_MIRROR"):
        check_url("VGG16_MIRROR", url)


def test_https_and_this_computer_are_taken() -> None:
    for url in (
        "https://example.org/a",
        "http://localhost:1/a",
        "http://127.0.0.1",
        "http://[::1]:2",
    ):
        check_url("VGG16_MIRROR", url)
