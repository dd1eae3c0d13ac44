"""What the tests of the command start from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.cli import app
from parity_tests.support.arbiter_models import small_model
from parity_tests.support.helpers import Command, Outcome


@pytest.fixture
def arbiter(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Run ``onnx-arbiter`` with arguments in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["onnx-arbiter", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
        captured = capfd.readouterr()
        return Outcome(int(end.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small network."""
    return small_model(tmp_path / "small.onnx")


@pytest.fixture
def images(tmp_path: Path) -> NDArray[np.float32]:
    """An input of it, also in the file ``in.npz``."""
    x = np.random.default_rng(5).standard_normal((1, 3, 8, 8), np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    return x
