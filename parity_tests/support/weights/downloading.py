"""What the tests of downloads start from: a file on a server of ours, and an order for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.weights.server import WeightServer, serve
from vgg16_weights.downloads import Order, Patience
from vgg16_weights.pretrained import Digest

CONTENT = np.random.default_rng(5).bytes(300_000)
OTHER = np.random.default_rng(6).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(tries=4, first_wait=0.01, longest_wait=2.0, connect=5.0, read=0.5)


@pytest.fixture(name="server")
def serving() -> Iterator[WeightServer]:
    with serve() as served:
        served.files["w.pth"] = CONTENT
        yield served


def order(server: WeightServer, folder: Path, **changes: Any) -> Order:
    facts: dict[str, Any] = {
        "url": f"{server.url}/w.pth",
        "path": folder / "w.pth",
        "digest": Digest("sha256", SHA256[:8]),
        "limit": 400_000,
        "remedy": "a file put there by hand",
    }
    return Order(**facts | changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder: Path) -> None:
    """The file alone, with its content."""
    assert names(folder) == ["w.pth"]
    assert (folder / "w.pth").read_bytes() == CONTENT
