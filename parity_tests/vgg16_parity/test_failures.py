"""What goes missing or fails on the way to a verdict: what `vgg16 parity` then says.

The tables are in ``parity_tests/support/failing/failures.py`` and ``absences.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from junitparser import JUnitXml

from parity_tests.support.failing import workers
from parity_tests.support.failing.absences import ABSENCES, without_gpu
from parity_tests.support.failing.failures import GRADIENTS, RUNS
from parity_tests.support.failing.workers import Task
from parity_tests.support.helpers import Command
from vgg16_parity import inputs
from vgg16_parity.runtimes import registry
from vgg16_parity.runtimes.job import Job
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

CAT: Final = str(PHOTOGRAPHS[0].path)


@pytest.fixture(autouse=True)
def few_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = inputs.hard
    monkeypatch.setattr(inputs, "hard", lambda given: hard(given)[-2:-1])


def run(
    vgg16: Command,
    tiny: Checkpoint,
    options: tuple[str, ...] = (),
    lanes: str = "strict",
    runtimes: str = "torch",
) -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON document of a parity run."""
    usual = ["--weights", tiny.file, "--images", CAT, "--lanes", lanes, "--json"]
    named = ["--runtimes", runtimes] if runtimes else []
    done = vgg16("parity", *usual, *named, *options)
    assert "Traceback" not in done.err
    return done.status, json.loads(done.out)


def failures(junit: Path) -> int:
    """How many tests of a JUnit file did not pass, those that were skipped apart."""
    document = JUnitXml.fromfile(str(junit))
    return int(document.failures + document.errors)


@pytest.mark.parametrize("task", ["run", "gradients"])
def test_without_a_failure_it_holds(
    vgg16: Command, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    workers.in_process(monkeypatch, task, workers.ends_after_work(0))
    options = ("--gradients",) if task == "gradients" else ("--hard",)
    status, report = run(vgg16, tiny, options)
    (row,) = report["rows"]
    assert (status, row["status"], row["reason"]) == (0, "holds", "")


@pytest.mark.parametrize("what", RUNS)
def test_a_run_that_fails_does_not_hold(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    failure = RUNS[what]
    workers.in_process(monkeypatch, "run", failure.spoil)
    junit = tmp_path / "junit.xml"
    status, report = run(vgg16, tiny, (*failure.options, "--junit", str(junit)))
    (row,) = report["rows"]
    assert (status, report["holds"], row["status"]) == (1, False, failure.status), row["reason"]
    assert row["reason"].startswith(failure.reason)
    assert failures(junit) > 0


@pytest.mark.parametrize("what", GRADIENTS)
def test_gradients_that_fail_do_not_hold(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    failure = GRADIENTS[what]
    workers.in_process(monkeypatch, "gradients", failure.spoil)
    junit = tmp_path / "junit.xml"
    options = ("--gradients", *failure.options, "--junit", str(junit))
    status, report = run(vgg16, tiny, options)
    (row,) = report["rows"]
    assert (status, report["holds"], row["status"]) == (1, False, failure.status), row["reason"]
    assert row["reason"].startswith(failure.reason)
    assert failures(junit) > 0
    # What the forward pass came to is kept.
    assert all(layer["accumulated"]["passed"] for layer in row["cases"][0]["layers"])


@pytest.mark.parametrize("what", ABSENCES)
def test_what_is_absent_counts_where_it_was_asked_for(
    vgg16: Command, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    runtimes, lanes, options, absent, rows, reason, expected, gpu = ABSENCES[what]
    workers.in_process(monkeypatch, "run", workers.ends_after_work(0) if gpu else without_gpu)
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name in absent else name)
    status, report = run(vgg16, tiny, ("--quick", *options), lanes, runtimes)
    found = {f"{row['runtime']}, {row['lane']}, {row['device']}": row for row in report["rows"]}
    others = {name: row["status"] for name, row in found.items() if name not in rows}
    assert (status, report["holds"]) == (expected, expected == 0)
    assert {name: found[name]["status"] for name in rows} == rows
    assert set(others.values()) <= {"not run"}
    first = next(row for row in report["rows"] if row["status"] == "not run")
    assert first["reason"].startswith(reason)


def test_a_runtime_that_was_named_and_did_not_run_is_named_in_the_last_line(
    vgg16: Command, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.in_process(monkeypatch, "run", workers.ends_after_work(0))
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "jax" else name)
    usual = ("--weights", tiny.file, "--images", CAT, "--quick", "--lanes", "strict,default")
    done = vgg16("parity", *usual, "--runtimes", "torch,keras-jax")
    assert done.status == 1
    last = "Parity is not shown: keras-jax (strict), keras-jax (default) did not run."
    assert done.out.splitlines()[-1] == last


@pytest.mark.parametrize("option", ["--report", "--html", "--junit"])
def test_a_file_that_can_no_longer_be_written_costs_no_other_result(
    vgg16: Command,
    tiny: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    def remove(job: Job, work: Callable[[], int]) -> int:
        folder.rmdir()
        return work()

    workers.in_process(monkeypatch, "run", remove)
    status, report = run(vgg16, tiny, ("--quick", option, str(folder / "file")))
    assert status == 2
    assert report["holds"]


def test_a_file_that_cannot_be_written_is_refused_before_the_run(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.in_process(monkeypatch, "run", workers.raises(AssertionError("it ran")))
    for option in ("--report", "--html", "--junit"):
        done = vgg16("parity", "--weights", tiny.file, option, tmp_path / "none" / "file")
        assert (done.status, done.out) == (2, "")
        assert done.err.splitlines()[-1].startswith(f"vgg16: {tmp_path / 'none'}: no such folder")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (workers.ends(-9), "did not run (the worker was killed by signal 9"),
        (workers.loses_results, "did not run (the worker left not every result"),
        (
            workers.computes(lambda logits: logits[:, :7]),
            "did not run (torch: gave no logits (its shape is (1, 7), the arbiter's is (1, 1000))",
        ),
        (
            workers.computes(lambda logits: np.where(np.arange(1000) == 7, np.nan, logits)),
            "did not run (torch: gave no logits (1 of its 1000 values are not finite)",
        ),
    ],
    ids=["killed", "nothing", "no logits", "NaN"],
)
def test_predict_names_no_class_without_logits(
    vgg16: Command,
    tiny: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    spoil: workers.Spoil,
    reason: str,
) -> None:
    workers.in_process(monkeypatch, "shards", spoil)
    done = vgg16("predict", CAT, "--weights", tiny.file, "--runtime", "torch")
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith(f"vgg16: torch: {reason}")
