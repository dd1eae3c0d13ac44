"""An evaluation that is killed at any moment goes on, and ends with the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from parity_tests.support.evaluation.ports import port
from parity_tests.support.failing.killing import ATTEMPTS, report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers end with their parent on Linux"),
]


@pytest.mark.parametrize(
    # As slow as a network, so that most moments lie within its computing: a batch's, a picture's.
    ("arguments", "pause"),
    [([], 0.15), (["views"], 0.005)],
    ids=["logits", "views"],
)
def test_killed_runs_and_workers_leave_what_the_next_one_completes(
    arguments: list[str], pause: float, tmp_path: Path
) -> None:
    slow = port(tmp_path, pause=pause)
    found = report("evaluation.killed_run", slow.port, tmp_path, *arguments)
    counts = found["found"]
    assert counts["none"] + counts["some"] + counts.get("all", 0) == ATTEMPTS
    # The moments were such that something was half done, and left behind.
    assert counts["some"] >= 3
    assert counts["strays"]
    assert found["equal"]
    assert found["results"] == 1 + 2 * 4
    assert found["left"] == []
    assert not found["pixels"]
