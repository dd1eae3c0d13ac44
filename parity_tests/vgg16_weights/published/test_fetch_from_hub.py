"""Files that ``huggingface_hub`` fetches."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from parity_tests.support.weights.fetching import CONTENT, RECORD, start
from parity_tests.support.weights.server import WeightServer
from vgg16_spec.errors import BadInput
from vgg16_weights.published import fetch as fetching
from vgg16_weights.published.fetch import fetch
from vgg16_weights.published.pretrained import PUBLISHED

pytestmark = pytest.mark.usefixtures("empty_cache")


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
