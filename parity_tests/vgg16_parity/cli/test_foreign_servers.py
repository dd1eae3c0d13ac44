"""What a server, a mirror or a cache folder says is shown as text that can be seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from parity_tests.support.foreign_text import HOSTILE, NAME, is_refused, is_shown
from parity_tests.support.helpers import PICTURES, Command
from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import Answer, WeightServer, serve
from vgg16_weights.published import pretrained

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")


def test_the_folder_of_the_cache_is_shown(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).touch()
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / NAME / "cache"))
    is_refused(vgg16("predict", PICTURES[0], "--configuration", "tiny"))
    is_shown(done := vgg16("weights", "list", "--json"), 0)
    paths = [each["path"] for each in json.loads(done.out)["weights"]]
    assert all(path.startswith(str(tmp_path / NAME)) for path in paths)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightServer]:
    """A mirror of published weights, none of which is in the cache."""
    with serve() as served:
        monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("VGG16_MIRROR", served.url)
        monkeypatch.delenv("VGG16_OFFLINE", raising=False)
        monkeypatch.setattr(pretrained, "PUBLISHED", {RECORD.name: RECORD})
        yield served


ANSWERS: Final = {
    "a reason": Answer(404, reason="\x1b[31m\x07\x9b\x85[red]"),
    "an address": Answer(302, location="http://x.invalid/\x1b[31m\x9b\x85[red]"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_answer_of_a_server_is_shown(
    vgg16: Command, server: WeightServer, answer: Answer
) -> None:
    server.files[RECORD.file] = CONTENT
    server.script.append(answer)
    is_refused(vgg16("weights", "fetch", RECORD.name))


def test_the_address_of_a_mirror_is_shown(
    vgg16: Command, server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (f"https://[{HOSTILE}", f"{server.url}/{HOSTILE}"):
        monkeypatch.setenv("VGG16_MIRROR", address)
        is_refused(vgg16("weights", "fetch", RECORD.name))
