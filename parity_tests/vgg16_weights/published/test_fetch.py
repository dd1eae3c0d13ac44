"""The cache folder, mirrors, no network, and several processes at once."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from requests.adapters import HTTPAdapter

from parity_tests.support.weights.fetching import CONTENT, RECORD, start
from parity_tests.support.weights.server import Answer, WeightServer
from vgg16_spec.errors import BadInput
from vgg16_weights.published.fetch import (
    _receive_once,
    fetch,
    is_cached,
    location,
    offline,
)
from vgg16_weights.published.pretrained import PUBLISHED, Digest

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.mark.parametrize("value", ["", "0", "false", "False", "no", "NO", "off", "Off"])
def test_a_variable_that_says_no_does_not_forbid_the_network(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("VGG16_OFFLINE", value)
    assert not offline()
    for other in ("1", "yes", "true", f"{value}x"):
        monkeypatch.setenv("VGG16_OFFLINE", other)
        assert offline()
    monkeypatch.delenv("VGG16_OFFLINE")
    assert not offline()


def test_a_file_is_fetched_once_into_the_cache_folder(server: WeightServer, tmp_path: Path) -> None:
    assert not is_cached(RECORD)
    path = fetch(RECORD)
    assert path == tmp_path / "cache" / "pretrained" / "weights.h5"
    assert path.read_bytes() == CONTENT
    assert is_cached(RECORD)
    assert fetch(RECORD) == path
    assert server.requests == [("/weights.h5", "")]
    assert sorted(p.name for p in path.parent.iterdir()) == [".weights.h5.lock", "weights.h5"]


def test_a_file_put_there_by_hand_is_verified_and_used(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGG16_OFFLINE", "1")
    path = location(RECORD)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(RECORD) == path
    assert server.requests == []
    assert [p.name for p in path.parent.iterdir()] == ["weights.h5"]


def test_a_damaged_file_is_never_used(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(RECORD)
    path.write_bytes(CONTENT[:-1] + b"?")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with monkeypatch.context() as context:
        context.setenv("VGG16_OFFLINE", "1")
        with pytest.raises(BadInput, match=f"its sha256 is {found}, and VGG16_OFFLINE is set"):
            fetch(RECORD)
    assert fetch(RECORD).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_offline_names_the_file_its_digest_and_where_to_put_it(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("VGG16_OFFLINE", "1")
    record = PUBLISHED[name]
    with pytest.raises(BadInput) as error:
        fetch(record)
    assert str(error.value) == (
        f"{name}: is not in the cache, and VGG16_OFFLINE is set; expected the file {record.file} "
        f"({record.digest}) put at {location(record)} by hand"
    )
    assert record.digest.value in str(error.value)
    assert server.requests == []


@pytest.mark.parametrize("status", [403, 404])
def test_what_the_server_refuses_says_where_to_put_the_file(
    server: WeightServer, status: int
) -> None:
    server.script = [Answer(status=status)]
    with pytest.raises(BadInput, match=rf"{status} .*; expected the file weights\.h5"):
        fetch(RECORD)
    assert len(server.requests) == 1
    assert not location(RECORD).exists()


@pytest.mark.parametrize("known", [64, 8])
def test_a_wrong_file_is_refused_and_nothing_is_kept(server: WeightServer, known: int) -> None:
    server.files["weights.h5"] = CONTENT[::-1]
    record = replace(RECORD, digest=Digest("sha256", RECORD.digest.value[:known]))
    with pytest.raises(BadInput, match=r"weights\.h5: ") as error:
        fetch(record)
    assert record.digest.value in str(error.value)
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in str(error.value)
    assert len(server.requests) == 1
    assert [p.name for p in location(RECORD).parent.iterdir()] == [".weights.h5.lock"]


@pytest.mark.parametrize(("algorithm", "known"), [("sha256", 64), ("sha256", 8), ("md5", 32)])
def test_every_known_digit_of_a_digest_counts(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch, algorithm: Any, known: int
) -> None:
    value = hashlib.new(algorithm, CONTENT).hexdigest()[:known]
    right = replace(RECORD, digest=Digest(algorithm, value))
    last = "0" if value[-1] != "0" else "1"
    wrong = replace(RECORD, digest=Digest(algorithm, value[:-1] + last))
    with pytest.raises(BadInput, match=f"its {algorithm} is {value}"):
        fetch(wrong)
    assert not location(RECORD).exists()
    path = fetch(right)
    assert path.read_bytes() == CONTENT
    # What lies in the cache folder by its name is no better than what is fetched.
    monkeypatch.setenv("VGG16_OFFLINE", "1")
    with pytest.raises(BadInput, match=f"its {algorithm} is {value}.*, and VGG16_OFFLINE is set"):
        fetch(wrong)
    assert fetch(right) == path


def test_what_fails_at_first_is_tried_again(server: WeightServer) -> None:
    server.script = [Answer(status=503), Answer(drop_after=100_000)]
    seen: list[tuple[int, int | None]] = []
    assert fetch(RECORD, lambda *at: seen.append(at)).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(server.requests) == 3


@pytest.mark.parametrize("block_bytes", [1, 4, 10, 11, 12])
def test_every_block_of_a_file_is_received_and_counted(
    server: WeightServer, tmp_path: Path, block_bytes: int
) -> None:
    content = bytes(range(11))
    server.files["small"] = content
    seen: list[tuple[int, int | None]] = []

    def receive(limit: int) -> None:
        url, path = f"{server.url}/small", tmp_path / "small"
        _receive_once(limit, url, path, lambda *at: seen.append(at), block_bytes)

    receive(len(content))
    assert (tmp_path / "small").read_bytes() == content
    ends = [*range(block_bytes, len(content), block_bytes), len(content)]
    assert seen == [(end, len(content)) for end in ends]
    # The last byte is the one too many, and no header announces it.
    server.script = [Answer(compressed=True)]
    with pytest.raises(ValueError, match="it has more than 10 bytes"):
        receive(len(content) - 1)


def test_a_shorter_file_than_announced_is_fetched_again(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = HTTPAdapter.send

    def unaware(*arguments: Any, **options: Any) -> Any:
        """As where urllib3 1 serves `requests`: it does not compare the lengths."""
        response = send(*arguments, **options)
        response.raw.enforce_content_length = False
        return response

    monkeypatch.setattr(HTTPAdapter, "send", unaware)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server.script = [Answer(drop_after=100_000)] * 4
    with pytest.raises(BadInput, match=r"\(it ended after 100000 of 400000 bytes\); expected the"):
        fetch(RECORD)
    assert not location(RECORD).exists()
    server.script = [Answer(drop_after=100_000)] * 3
    assert fetch(RECORD).read_bytes() == CONTENT
    assert len(server.requests) == 8


def test_progress_of_a_compressed_answer_states_no_total(server: WeightServer) -> None:
    server.script = [Answer(compressed=True)]
    seen: list[tuple[int, int | None]] = []
    assert fetch(RECORD, lambda *at: seen.append(at)).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), None)


def test_a_fetched_file_has_the_usual_permissions(server: WeightServer) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert fetch(RECORD).stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_disk_that_fills_up_is_one_line(server: WeightServer) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BadInput, match="No space left on device"):
        fetch(RECORD, full)


def test_a_mirror_serves_the_hubs_file_by_its_own_name(server: WeightServer) -> None:
    server.files[PUBLISHED["timm-tv-in1k"].file] = CONTENT
    record = replace(PUBLISHED["timm-tv-in1k"], digest=RECORD.digest)
    assert fetch(record).read_bytes() == CONTENT
    assert server.requests == [("/timm-vgg16.tv_in1k.safetensors", "")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_what_a_killed_download_leaves_the_next_one_removes(server: WeightServer) -> None:
    server.script = [Answer(hang=5)]
    folder = location(RECORD).parent
    with start(RECORD, {}) as process:
        while not list(folder.glob("*.tmp")):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    assert list(folder.glob("*.tmp"))
    server.script.clear()
    assert fetch(RECORD).read_bytes() == CONTENT
    assert sorted(p.name for p in folder.iterdir()) == [".weights.h5.lock", "weights.h5"]


def test_a_cache_folder_that_cannot_be_written_is_one_line(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # As root, which tests may run as, no folder is read-only.
    monkeypatch.setattr(FileLock, "acquire", refuse)
    folder = location(RECORD).parent
    with pytest.raises(BadInput, match=f"^{folder}: the cache folder cannot be written "):
        fetch(RECORD)
    assert server.requests == []


def test_a_cache_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadInput, match="the cache folder cannot be made"):
        fetch(RECORD)


def test_a_download_logs_nothing(server: WeightServer) -> None:
    server.script = [Answer(status=503)]
    _, err = start(RECORD, {}).communicate(timeout=120)
    assert err == ""


@pytest.mark.slow
def test_two_processes_at_once_fetch_once(server: WeightServer) -> None:
    server.script = [Answer(hang=0.1)]  # long enough for both to want it
    processes = [start(RECORD, {}) for _ in range(3)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert {out.strip() for out, _ in ends} == {str(location(RECORD).resolve())}
    assert len(server.requests) == 1
