"""The tests' forked workers do what new processes do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from parity_tests.support import warm_workers
from parity_tests.support.helpers import PICTURES
from parity_tests.support.warm_workers import WarmWorkers, run_anew
from vgg16_parity.records import Row
from vgg16_parity.run import run_parity
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def warm() -> Iterator[WarmWorkers]:
    workers = WarmWorkers()
    yield workers
    workers.close()


@pytest.mark.parametrize("name", ["torch", "keras-tensorflow"])
def test_a_row_is_the_same_from_a_forked_worker_and_from_a_new_process(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, warm: WarmWorkers, name: str
) -> None:
    def row(start: object) -> Row:
        monkeypatch.setattr(process, "run_worker", start)
        (found,) = run_parity(tiny, PICTURES, [RUNTIMES[name]]).rows
        assert found.record is not None
        return replace(found, record=replace(found.record, seconds={}, peak_bytes=0))

    assert row(warm) == row(run_anew)


def test_a_forked_worker_that_takes_too_long_is_killed(warm: WarmWorkers, tmp_path: Path) -> None:
    """It waits for its checkpoint, a pipe that nobody writes into."""
    pipe = tmp_path / "checkpoint"
    os.mkfifo(pipe)
    job = Job("gradients", RUNTIMES["torch"], "strict", str(pipe), str(tmp_path))
    start = time.monotonic()
    with (tmp_path / "log").open("wb") as output, pytest.raises(subprocess.TimeoutExpired):
        warm(job, output, 0.01)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "PYTHONHASHSEED"])
def test_what_is_read_at_the_start_has_a_process_start_anew(
    monkeypatch: pytest.MonkeyPatch, warm: WarmWorkers, tmp_path: Path, name: str
) -> None:
    anew = list[Job]()

    def start(job: Job, output: object, timeout: float | None) -> int:
        anew.append(job)
        return 0

    job = Job("run", RUNTIMES["torch"], "strict", "none", str(tmp_path))
    monkeypatch.setattr(warm_workers, "run_anew", start)
    monkeypatch.setenv(name, "3")
    with (tmp_path / "log").open("wb") as output:
        warm(job, output, None)
    assert anew == [job]


def test_a_warm_process_outlives_the_thread_that_started_it(
    warm: WarmWorkers, tmp_path: Path
) -> None:
    job = Job("run", RUNTIMES["torch"], "strict", str(tmp_path / "none"), str(tmp_path))

    def run() -> int:
        with (tmp_path / "log").open("wb") as output:
            return warm(job, output, None)

    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(run).result() == 1
    assert "no such file" in (tmp_path / "record.json").read_text()
