"""What a measured process wrote is kept, also when it does not end as it should."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.harness import measure
from benchmarks.harness.measure import OVER, Limits, Outcome

WORKER = """
import os, sys, time
from pathlib import Path
from benchmarks.harness.worker import serve


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


def alone(job, recorder):
    Path(job["ready"]).touch()
    with recorder.alone(job["lock"]):
        recorder.result["start"] = time.monotonic()
        time.sleep(0.5)
        recorder.result["end"] = time.monotonic()


raise SystemExit(serve(sys.argv[1], {"work": work, "alone": alone}))
"""


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The module of the worker, where processes find it."""
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("end", "error", "result"),
    [
        ("return", "", {"first": 1, "second": 2}),
        ("raise", "ValueError: wrong", {"first": 1}),
        ("exit", "ended with status 3: it printed nothing", {"first": 1}),
        ("sleep", "stopped after 10 s, not finished", {"first": 1}),
    ],
)
def test_results_survive_the_process(end: str, error: str, result: dict[str, int]) -> None:
    outcome = measure.run("a_worker", {"task": "work", "end": end}, Limits(10, 1 << 40))
    assert (outcome.error, outcome.result) == (error, result)
    assert list(outcome.spans) == (["work"] if end in ("return", "raise") else [])


def alone(tmp_path: Path, name: str, limits: Limits) -> Outcome:
    """The outcome of a worker that measures alone; it makes a file before."""
    job = {"task": "alone", "lock": str(tmp_path / "lock"), "ready": str(tmp_path / name)}
    return measure.run("a_worker", job, limits)


def wait_for(*files: Path) -> None:
    end = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_start_beside_a_measurement_and_measure_one_after_another(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        with FileLock(tmp_path / "lock"):
            running = [pool.submit(alone, tmp_path, name, Limits(60, 1 << 40)) for name in "ab"]
            wait_for(tmp_path / "a", tmp_path / "b")
            released = time.monotonic()
        first, second = sorted(
            (outcome["start"], outcome["end"])
            for outcome in (each.result().result for each in running)
        )
    assert released <= first[0]
    assert first[1] <= second[0]


def test_the_wait_for_another_worker_is_not_held_against_one(tmp_path: Path) -> None:
    limits = Limits(3, 1 << 40)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / "lock"):
            running = pool.submit(alone, tmp_path, "a", limits)
            wait_for(tmp_path / "a")
            time.sleep(limits.seconds)
        outcome = running.result()
    assert outcome.error == ""
    assert outcome.seconds > limits.seconds


@pytest.mark.parametrize("waits", [False, True])
def test_the_deadline_ends_a_worker_that_works_or_waits(tmp_path: Path, waits: bool) -> None:
    limits = Limits(60, 1 << 40, deadline=time.monotonic() + 3)
    with FileLock(tmp_path / "lock"):
        if waits:
            outcome = alone(tmp_path, "a", limits)
        else:
            outcome = measure.run("a_worker", {"task": "work", "end": "sleep"}, limits)
    assert outcome.error == OVER
