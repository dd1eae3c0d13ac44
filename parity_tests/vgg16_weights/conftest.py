"""What several tests of weights files start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import WeightServer, serve
from vgg16_weights.keras import hdf5
from vgg16_weights.legacy import matconvnet


@pytest.fixture
def first_reading() -> None:
    """Read a test's files in another process first: they may crash their reader."""


@pytest.fixture
def no_first_reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open HDF5's and MATLAB's files at once: a test that wrote one knows that it is whole.

    A test among those of a module that asks for `first_reading` is left out.
    """
    if "first_reading" not in request.fixturenames:
        for module in (hdf5, matconvnet):
            monkeypatch.setattr(module, "check_readable", lambda *_: None)


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
