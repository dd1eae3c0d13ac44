"""What several tests of weights files start from."""

from __future__ import annotations

import pytest

from vgg16_weights.keras import hdf5


@pytest.fixture
def no_first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open HDF5 files at once: a test that has just written one knows that it is not damaged."""
    monkeypatch.setattr(hdf5, "check_readable", lambda *_: None)
