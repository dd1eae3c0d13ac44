"""What a measured process wrote is kept, also when it does not end as it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import measure
from benchmarks.harness.measure import Limits

WORKER = """
import os, sys, time
from benchmarks.harness.measure import serve


def work(job, recorder):
    with recorder.span("work"):
        recorder.result["first"] = 1
    recorder.write()
    if job["end"] == "sleep":
        time.sleep(600)
    if job["end"] == "exit":
        os._exit(3)
    if job["end"] == "raise":
        raise ValueError("wrong")
    recorder.result["second"] = 2


raise SystemExit(serve(sys.argv[1], {"work": work}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "error", "result"),
    [
        ("return", "", {"first": 1, "second": 2}),
        ("raise", "ValueError: wrong", {"first": 1}),
        ("exit", "ended with status 3: it printed nothing", {"first": 1}),
        ("sleep", "stopped after 10 s, not finished", {"first": 1}),
    ],
)
def test_results_survive_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, error: str, result: dict[str, int]
) -> None:
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = measure.run("a_worker", {"task": "work", "end": end}, Limits(10, 1 << 40))
    assert (outcome.error, outcome.result) == (error, result)
    assert list(outcome.spans) == (["work"] if end in ("return", "raise") else [])
