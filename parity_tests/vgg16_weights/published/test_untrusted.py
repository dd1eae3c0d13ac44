"""Servers, mirrors and cache folders that others have had their hands in."""

from __future__ import annotations

import base64
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import Answer, WeightServer
from vgg16_spec.errors import BadInput
from vgg16_weights.published import fetch as fetching
from vgg16_weights.published.fetch import fetch, location
from vgg16_weights.published.pretrained import Digest

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.mark.parametrize(
    ("mirror", "problem"),
    [
        ("http://example.org/w", "is refused"),
        ("ftp://localhost", "is refused"),
        ("weights", "is refused"),
        ("http://localhost.example.org", "is refused"),
        ("https://[::1", r"is not a URL \(Invalid IPv6 URL\)"),
    ],
)
def test_a_mirror_that_is_not_private_is_refused(
    monkeypatch: pytest.MonkeyPatch, mirror: str, problem: str
) -> None:
    monkeypatch.setenv("VGG16_MIRROR", mirror)
    with pytest.raises(BadInput, match=rf"^VGG16_MIRROR: .*{problem}; expected https://…, or"):
        fetch(RECORD)


def test_a_file_that_is_too_large_is_refused(server: WeightServer) -> None:
    server.files["weights.h5"] = bytes(RECORD.size_limit + 1)
    with pytest.raises(BadInput, match=f"it has more than {RECORD.size_limit} bytes"):
        fetch(RECORD)
    assert not location(RECORD).exists()


PRIVATE = "user:secret%40word@"


def test_a_mirrors_password_is_used_and_shown_nowhere(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = server.url.replace("//", f"//{PRIVATE}")
    monkeypatch.setenv("VGG16_MIRROR", mirror)
    assert fetch(RECORD).read_bytes() == CONTENT
    given = base64.b64encode(b"user:secret@word").decode()
    assert server.authorizations == [f"Basic {given}"]
    location(RECORD).unlink()
    server.script = [Answer(status=404), Answer(status=302, location=f"http://{PRIVATE}host/w")]
    wrong = replace(RECORD, digest=Digest("sha256", "0" * 64))
    for record in (RECORD, RECORD, wrong):
        with pytest.raises(BadInput) as refusal:
            fetch(record)
        assert "secret" not in str(refusal.value)
        assert "weights.h5" in str(refusal.value)
    monkeypatch.setenv("VGG16_MIRROR", f"http://{PRIVATE}example.org")
    with pytest.raises(BadInput, match=r"'http://example\.org/weights\.h5' is refused"):
        fetch(RECORD)


def test_a_file_that_comes_slowly_is_given_up(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though something comes before every single wait is over."""
    monkeypatch.setattr(fetching, "_SPEED_SECONDS", 0.5)
    server.script = [Answer(hang=0.2)]
    with pytest.raises(BadInput, match="it comes at less than 50,000 bytes a second"):
        fetch(RECORD)
    assert len(server.requests) == 1


def test_an_answer_that_is_spelled_is_given_up(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(fetching, "_RETRIES", 0)
    server.script = [Answer(hang_first=0.1)]
    with pytest.raises(BadInput, match=r"no answer in 0\.3 seconds"):
        fetch(RECORD)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
@pytest.mark.parametrize("name", [RECORD.file, f".{RECORD.file}.lock"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_others_put_into_the_cache_is_not_written(
    server: WeightServer, tmp_path: Path, name: str, kind: str
) -> None:
    place = location(RECORD).with_name(name)
    place.parent.mkdir(parents=True)
    (tmp_path / "mine").write_text("kept")
    if kind == "link":
        place.symlink_to(tmp_path / "mine")
    else:
        os.mkfifo(place)
    problem = "is a link" if kind == "link" else "is not a regular file"
    with pytest.raises(BadInput, match=f"{problem}, in the cache folder; expected a file, or"):
        fetch(RECORD)
    assert (tmp_path / "mine").read_text() == "kept"
    assert server.requests == []


def test_a_link_to_the_right_file_is_used(server: WeightServer, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(CONTENT)
    location(RECORD).parent.mkdir(parents=True)
    location(RECORD).symlink_to(tmp_path / "mine")
    assert fetch(RECORD) == location(RECORD)
    assert server.requests == []


@pytest.mark.parametrize("target", ["http://weights.invalid/w", "ftp://weights.invalid/w"])
def test_a_server_that_leads_to_an_unsafe_address_is_not_followed(
    server: WeightServer, target: str
) -> None:
    server.script = [Answer(status=302, location=target)]
    with pytest.raises(BadInput, match=f"it leads to {target}"):
        fetch(RECORD)
    assert len(server.requests) == 1
