"""The cache folder, mirrors, no network, two processes at once, and the hub."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from parity_tests.support.weights.server import Answer, WeightServer, serve
from vgg16_spec.errors import BadInput
from vgg16_weights import fetch as fetching
from vgg16_weights.fetch import fetch, is_cached, location
from vgg16_weights.pretrained import PUBLISHED, Digest, Published

CONTENT = np.random.default_rng(7).bytes(400_000)
RECORD = Published(
    name="keras-imagenet",
    file="weights.h5",
    url="https://weights.invalid/weights.h5",
    digest=Digest("sha256", hashlib.sha256(CONTENT).hexdigest()),
    size=len(CONTENT),
    file_format="keras-h5",
    recipe="caffe",
)
# As a person would call it from a script, with any record.
SCRIPT = """
import json, sys
from vgg16_spec.errors import BadInput
from vgg16_weights.fetch import fetch, is_cached
from vgg16_weights.pretrained import Digest, Published
facts = json.loads(sys.argv[1])
record = Published(**facts | {"digest": Digest(**facts["digest"])})
try:
    print(fetch(record).resolve())
except BadInput as error:
    sys.exit(str(error))
assert is_cached(record)
"""


@pytest.fixture
def server() -> Iterator[WeightServer]:
    with serve() as served:
        served.files["weights.h5"] = CONTENT
        yield served


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, server: WeightServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache folder, and the server as a mirror."""
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VGG16_MIRROR", f"{server.url}/")
    monkeypatch.delenv("VGG16_OFFLINE", raising=False)


def start(record: Published, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(asdict(record))],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


def test_what_the_server_refuses_says_where_to_put_the_file(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = [Answer(status=403)]
    monkeypatch.setattr(fetching, "_RETRIES", 0)
    with pytest.raises(BadInput, match=r"403 .*; expected the file weights\.h5"):
        fetch(RECORD)
    assert not location(RECORD).exists()


@pytest.mark.parametrize("known", [64, 8])
def test_a_wrong_file_is_refused_and_nothing_is_kept(
    server: WeightServer, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    monkeypatch.setattr(fetching, "_RETRIES", 0)
    server.files["weights.h5"] = CONTENT[::-1]
    record = replace(RECORD, digest=Digest("sha256", RECORD.digest.value[:known]))
    with pytest.raises(BadInput, match=r"weights\.h5: ") as error:
        fetch(record)
    assert record.digest.value in str(error.value)
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in str(error.value)
    assert not location(RECORD).exists()


def test_what_fails_at_first_is_tried_again(server: WeightServer) -> None:
    server.script = [Answer(status=503), Answer(drop_after=100_000)]
    seen: list[tuple[int, int | None]] = []
    assert fetch(RECORD, lambda *at: seen.append(at)).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen.count(seen[-1]) <= 2  # once before pooch states the total again
    assert len(server.requests) == 3


def test_a_fetched_file_has_the_usual_permissions(server: WeightServer) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert fetch(RECORD).stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_disk_that_fills_up_is_one_line(server: WeightServer) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BadInput, match="No space left on device"):
        fetch(RECORD, full)


@pytest.mark.parametrize(
    "mirror", ["http://example.org/w", "ftp://localhost", "weights", "http://localhost.example.org"]
)
def test_a_mirror_that_is_not_private_is_refused(
    monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("VGG16_MIRROR", mirror)
    with pytest.raises(BadInput, match=r"^VGG16_MIRROR: .* is refused; expected https://…, or"):
        fetch(RECORD)


def test_a_mirror_serves_the_hubs_file_by_its_own_name(server: WeightServer) -> None:
    server.files[PUBLISHED["timm-tv-in1k"].file] = CONTENT
    record = replace(PUBLISHED["timm-tv-in1k"], digest=RECORD.digest)
    assert fetch(record).read_bytes() == CONTENT
    assert server.requests == [("/timm-vgg16.tv_in1k.safetensors", "")]


def test_a_cache_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadInput, match="the cache folder cannot be made"):
        fetch(RECORD)


@pytest.mark.slow
def test_two_processes_at_once_fetch_once(server: WeightServer) -> None:
    server.script = [Answer(hang=0.1)]  # long enough for both to want it
    processes = [start(RECORD, {}) for _ in range(3)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert {out.strip() for out, _ in ends} == {str(location(RECORD).resolve())}
    assert len(server.requests) == 1


HUB_PATH = "/".join(PUBLISHED["timm-tv-in1k"].url.split("/")[3:])


def hub(server: WeightServer, folder: Path, **more: str) -> dict[str, str]:
    """An environment in which our server is the hub, with a cache of its own."""
    server.files[HUB_PATH] = CONTENT
    return {
        "VGG16_MIRROR": "",
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(folder / "hub"),
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    } | more


def test_the_hub_is_asked_once_and_its_cache_is_used(server: WeightServer, tmp_path: Path) -> None:
    record = replace(PUBLISHED["timm-tv-in1k"], digest=RECORD.digest)
    environment = hub(server, tmp_path)
    for more in ({}, {"VGG16_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "1"}):
        process = start(record, environment | more)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert Path(out.strip()).read_bytes() == CONTENT
        assert Path(out.strip()).is_relative_to((tmp_path / "hub").resolve())
    assert [path for path, _ in server.requests].count(f"/{HUB_PATH}") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"VGG16_OFFLINE": "1"}, "timm-tv-in1k: is not in the cache, and VGG16_OFFLINE is set; "),
        ({"HF_HUB_OFFLINE": "1"}, "timm-tv-in1k: cannot be fetched from timm/vgg16.tv_in1k ("),
    ],
)
def test_without_the_hub_the_error_says_what_to_do(
    server: WeightServer, tmp_path: Path, more: dict[str, str], message: str
) -> None:
    record = PUBLISHED["timm-tv-in1k"]
    process = start(record, hub(server, tmp_path, **more))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith(message)
    assert len(err.strip().splitlines()) == 1
    assert err.strip().endswith(f"expected {fetching.by_hand(record)}")


def test_the_hubs_attempts_are_not_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = logging.getLogger("huggingface_hub")
    log = logging.getLogger("huggingface_hub.utils._http")
    heard: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: heard.append(record.getMessage()))
    monkeypatch.setattr(library, "handlers", [handler])

    def unreachable(*_: object, **__: object) -> str:
        log.warning("Retrying in 1s")
        log.error("not to be missed")
        raise OSError("unreachable")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path))
    monkeypatch.setenv("VGG16_MIRROR", "")
    with pytest.raises(BadInput, match=r"cannot be fetched from timm/vgg16.tv_in1k \(unreachable"):
        fetch(PUBLISHED["timm-tv-in1k"])
    log.warning("heard again")
    assert heard == ["not to be missed", "heard again"]


def test_a_wrong_digest_from_the_hub_is_refused(server: WeightServer, tmp_path: Path) -> None:
    process = start(PUBLISHED["timm-tv-in1k"], hub(server, tmp_path))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert (
        err.strip()
        .splitlines()[-1]
        .endswith(
            f"its sha256 is {RECORD.digest.value}; expected {PUBLISHED['timm-tv-in1k'].digest}: "
            "remove the file to fetch it anew"
        )
    )


def test_without_huggingface_hub_the_error_is_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGG16_MIRROR", "")
    monkeypatch.setattr(fetching, "find_spec", lambda _: None)
    with pytest.raises(
        BadInput, match=r"needs huggingface_hub, .* pip install \"vgg16-parity\[hub\]\""
    ):
        fetch(PUBLISHED["timm-tv-in1k"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar_and_a_log_shows_lines() -> None:
    import pty

    code = (
        "from vgg16_parity.cli.console import receiving\n"
        "with receiving('fetch it') as progress:\n"
        "    for done in range(1, 101):\n"
        "        progress(done * 1_000_000, 100_000_000)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "100.0/100.0 MB" in shown
    assert "━" in shown
    logged = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stderr.splitlines()
    assert logged[0] == "fetch it …"
    assert logged[1:-1] == [f"fetch it: {10 * n} % of 100.0 MB" for n in range(1, 11)]
