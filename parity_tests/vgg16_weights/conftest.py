"""What several tests of weights files start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import WeightServer, serve
from vgg16_weights.keras import hdf5


@pytest.fixture
def no_first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open HDF5 files at once: a test that has just written one knows that it is not damaged."""
    monkeypatch.setattr(hdf5, "check_readable", lambda *_: None)


@pytest.fixture
def server() -> Iterator[WeightServer]:
    with serve() as served:
        served.files[RECORD.file] = CONTENT
        yield served


@pytest.fixture
def empty_cache(tmp_path: Path, server: WeightServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache folder, and the server as a mirror."""
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VGG16_MIRROR", f"{server.url}/")
    monkeypatch.delenv("VGG16_OFFLINE", raising=False)
