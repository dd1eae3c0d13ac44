"""What a worker leaves of gradients is judged, and what it does not leave is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.arithmetic.right_gradients import FLOAT32, Run, right_run
from vgg16_parity.judge.gradients import run as gradient_run
from vgg16_parity.judge.row import Finding
from vgg16_parity.network import sgd_step
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.registry import RUNTIMES

FORWARD = Record(seconds={"run": 2.0}, peak_bytes=5)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return right_run(tmp_path / "case")


@pytest.fixture
def job(tmp_path: Path, run: Run) -> Job:
    folders = (str(run.expectation.folder), "another case")
    return Job("run", RUNTIMES["torch"], "strict", "weights", str(tmp_path / "run"), cases=folders)


def working(
    monkeypatch: pytest.MonkeyPatch, leaves: Callable[[Job], Record]
) -> list[tuple[Job, float | None]]:
    """Whatever is asked of a worker from now on; ``leaves`` does it."""
    asked: list[tuple[Job, float | None]] = []

    def work(job: Job, *, timeout: float | None = None) -> Record:
        asked.append((job, timeout))
        Path(job.folder).mkdir()
        return leaves(job)

    monkeypatch.setattr(gradient_run, "work", work)
    return asked


def test_what_a_worker_leaves_is_judged_and_removed(
    monkeypatch: pytest.MonkeyPatch, run: Run, job: Job
) -> None:
    results = run.results
    (case,) = {str(run.expectation.folder)}
    labels = sgd_step.labels(run.expectation)

    def leaves(job: Job) -> Record:
        kinds: dict[Any, Any] = {
            "branch": results.taps,
            "gradients": results.gradients,
            "parameters": results.parameters,
            "velocity": {**results.velocity, "fc2.bias": results.velocity["fc2.bias"] + 1},
        }
        for kind, tensors in kinds.items():
            job.result(case, kind).write(tensors)
        # The labels are there before.
        assert np.array_equal(np.load(Path(case) / "labels.npy"), labels)
        return Record(seconds={"gradients": 3.0, "step": 4.0}, peak_bytes=9)

    asked = working(monkeypatch, leaves)
    record, verdicts, finding = gradient_run.run_gradients(
        job, FORWARD, run.checkpoint, run.expectation, FLOAT32, 60.0
    )
    # The first case alone, in a folder of its own.
    expected = replace(job, task="gradients", folder=f"{job.folder}-gradients", cases=(case,))
    assert asked == [(expected, 60.0)]
    assert not Path(expected.folder).exists()
    assert record.seconds == {"run": 2.0, "backward gradients": 3.0, "backward step": 4.0}
    assert record.peak_bytes == 9
    assert len(verdicts) == len(run.checkpoint) + 1
    assert finding is not None
    assert finding.first_wrong == "fc2.bias"
    assert finding.status == "broken"


def test_a_worker_that_dies_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, run: Run, job: Job
) -> None:
    working(monkeypatch, lambda _: Record(error="killed", seconds={"step": 1.0}, peak_bytes=3))
    record, verdicts, finding = gradient_run.run_gradients(
        job, FORWARD, run.checkpoint, run.expectation, FLOAT32, None
    )
    assert verdicts == ()
    assert finding == Finding("gradients: killed", status="failed")
    assert record.seconds == {"run": 2.0, "backward step": 1.0}
    assert record.peak_bytes == 5


def test_a_worker_that_leaves_nothing_is_wrong_at_the_first_tap(
    monkeypatch: pytest.MonkeyPatch, run: Run, job: Job
) -> None:
    working(monkeypatch, lambda _: Record())
    _, verdicts, finding = gradient_run.run_gradients(
        job, FORWARD, run.checkpoint, run.expectation, FLOAT32, None
    )
    assert verdicts == ()
    assert finding == Finding("block1_conv1: there is no such output", "block1_conv1")
