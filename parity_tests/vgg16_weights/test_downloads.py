"""A download is whole and right under its name, or there is nothing under that name."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parity_tests.support.weights.downloading import (
    CONTENT,
    OTHER,
    QUICK,
    SHA256,
    assert_whole,
    names,
    order,
)
from parity_tests.support.weights.downloading import serving as serving
from parity_tests.support.weights.server import Answer, WeightServer
from vgg16_spec.errors import BadInput
from vgg16_weights.downloads import download
from vgg16_weights.pretrained import Digest


@pytest.mark.parametrize(
    "digest",
    [
        Digest("sha256", SHA256),
        Digest("sha256", SHA256[:8]),
        Digest("md5", hashlib.md5(CONTENT).hexdigest()),
    ],
    ids=str,
)
def test_a_file_arrives_by_any_digest(server: WeightServer, tmp_path: Path, digest: Digest) -> None:
    seen: list[tuple[int, int | None]] = []
    download(order(server, tmp_path, digest=digest), lambda *at: seen.append(at), QUICK)
    assert_whole(tmp_path)
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "w.pth").stat().st_mode & 0o777 == 0o666 & ~umask


def test_dropped_connections_are_continued_where_they_broke(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(drop_after=100_000), Answer(drop_after=50_000), Answer(status=503)]
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-"]


def test_the_file_is_not_under_its_name_before_its_digest_is_right(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(drop_after=200_000)]
    seen: list[list[str]] = []
    download(order(server, tmp_path), lambda *_: seen.append(names(tmp_path)), QUICK)
    assert seen
    assert all(files == [".w.pth.part"] for files in seen)
    assert_whole(tmp_path)


def test_an_older_file_stays_until_the_new_one_is_right(
    server: WeightServer, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(b"older")
    server.script = [Answer(body=OTHER)]
    with pytest.raises(BadInput):
        download(order(server, tmp_path), None, QUICK)
    assert (tmp_path / "w.pth").read_bytes() == b"older"
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)


def test_what_an_earlier_process_left_is_continued(server: WeightServer, tmp_path: Path) -> None:
    (tmp_path / ".w.pth.part").write_bytes(CONTENT[:123_457])
    seen: list[int] = []
    download(order(server, tmp_path), lambda at, _: seen.append(at), QUICK)
    assert_whole(tmp_path)
    assert server.ranges == ["bytes=123457-"]
    assert seen[0] > 123_457


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"], ids=["whole", "too long"])
def test_a_part_with_nothing_left_to_fetch(
    server: WeightServer, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / ".w.pth.part").write_bytes(left)
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert server.ranges == [f"bytes={len(left)}-", ""][: 1 if left == CONTENT else 2]


def test_a_server_that_ignores_ranges_restarts_from_zero(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(drop_after=100_000), Answer(ignore_range=True)]
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert len(server.requests) == 2


def test_a_range_that_was_not_asked_for_is_not_taken(server: WeightServer, tmp_path: Path) -> None:
    server.script = [Answer(drop_after=100_000), Answer(shift=7)]
    seen: list[int] = []
    download(order(server, tmp_path), lambda at, _: seen.append(at), QUICK)
    assert_whole(tmp_path)
    assert server.ranges == ["", "bytes=100000-", ""]
    assert len(CONTENT) - 7 not in seen  # nothing of it was put behind what was there


def test_a_file_that_changes_between_tries_is_fetched_anew(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(body=OTHER, drop_after=100_000)]
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert server.ranges == ["", "bytes=100000-", ""]


def test_a_file_that_keeps_changing_is_given_up(server: WeightServer, tmp_path: Path) -> None:
    server.script = [Answer(body=OTHER, drop_after=100_000), Answer()] * 9
    with pytest.raises(BadInput, match="the sha256 of what arrived is"):
        download(order(server, tmp_path), None, QUICK)
    assert len(server.requests) == 4
    assert names(tmp_path) == []


def test_a_wrong_digest_is_one_line_with_both_and_nothing_is_kept(
    server: WeightServer, tmp_path: Path
) -> None:
    server.files["w.pth"] = OTHER
    with pytest.raises(BadInput) as error:
        download(order(server, tmp_path), None, QUICK)
    found = hashlib.sha256(OTHER).hexdigest()
    assert str(error.value) == (
        f"{server.url}/w.pth: the sha256 of what arrived is {found}; expected sha256 {SHA256[:8]}…"
    )
    assert names(tmp_path) == []
    assert len(server.requests) == 1


def test_a_truncated_body_without_a_length_is_not_taken(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(no_length=True, drop_after=250_000)]
    with pytest.raises(BadInput, match="the sha256 of what arrived is"):
        download(order(server, tmp_path), None, QUICK)
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_download_is_continued_by_the_next_process(
    server: WeightServer, tmp_path: Path
) -> None:
    server.script = [Answer(hang=60)]
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from vgg16_weights.downloads import Order, download\nfrom vgg16_weights.pretrained import Digest\n"
        "url, path, digest = sys.argv[1:]\n"
        "download(Order(url, Path(path), Digest('sha256', digest), 400_000))\n"
    )
    arguments = [f"{server.url}/w.pth", str(tmp_path / "w.pth"), SHA256]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    part = tmp_path / ".w.pth.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path) == [".w.pth.part"]
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT)
    download(order(server, tmp_path), None, QUICK)
    assert_whole(tmp_path)
    assert server.ranges == ["", f"bytes={kept}-"]
