"""What tests of evaluations start from."""

from __future__ import annotations

import pytest

from parity_tests.support.evaluation.ports import work_in_process


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers are to do, which this process does."""
    return work_in_process(monkeypatch)
