"""`benchmarks.cuda` measures what it says it does, without a GPU; its figures are not tested."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from benchmarks.cuda import __main__ as command
from benchmarks.cuda import results, schedule
from benchmarks.cuda.output import Output
from benchmarks.cuda.parity import Parity
from benchmarks.cuda.schedule import Schedule
from benchmarks.cuda.throughput import Speed
from parity_tests.support.cuda import unusable
from parity_tests.support.helpers import PICTURES
from vgg16_parity import workspace
from vgg16_parity.records import Report
from vgg16_parity.report import schema
from vgg16_parity.runtimes import process, registry
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = ["--device", "cpu", "--configuration", "tiny", "--batches", "1,2", "--no-tests"]
QUICK = [*TINY, "--each", "0.01", "--side", "64", "--date", "2026-11-24"]
OVER = "the time for all runs was over"


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def made(out: Path, *arguments: str) -> Schedule:
    """A schedule of a quick run that writes into a folder."""
    chosen = command._parser().parse_args([*QUICK, *arguments])
    return Schedule(chosen, Output(out, None, "python -m benchmarks.cuda"))


def test_one_command_writes_reports_and_throughput(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "jax" else real(name))
    chosen = ["--runtimes", "torch,keras-jax,onnx-from-torch", "--seconds", "500"]
    chosen += ["--lanes", "strict,bfloat16"]
    status = command.main([*QUICK, *chosen, "--out", str(tmp_path / "out")])
    document = read(tmp_path / "out" / "report.json")
    assert list(Draft202012Validator(schema.schema()).iter_errors(document)) == []
    found = {(row["runtime"], row["lane"]): row["status"] for row in document["rows"]}
    assert {lane for _, lane in found} == {"strict", "bfloat16"}
    assert found["torch", "strict"] == found["onnx-from-torch", "strict"] == "holds"
    assert found["keras-jax", "strict"] == found["onnx-from-torch", "bfloat16"] == "not run"
    assert "run twice: the same bits" in (tmp_path / "out" / "report.html").read_text("utf-8")

    results = read(tmp_path / "out" / "throughput.json")
    assert set(results["rates"]) == {"float32", "bfloat16"}
    assert all(rate > 0 for rate in results["rates"].values())
    measured = {(e["runtime"], e["lane"], e["batch"]): e for e in results["throughput"]}
    for lane in ("strict", "bfloat16"):
        for batch in (1, 2):
            assert measured["torch", lane, batch]["seconds"] > 0
            assert measured["torch", lane, batch]["runs"] >= 5
    assert measured["onnx-from-torch", "strict", 2]["seconds"] > 0
    assert "no convolution in bfloat16" in measured["onnx-from-torch", "bfloat16", 0]["reason"]
    assert "jax is not installed" in measured["keras-jax", "strict", 0]["reason"]
    verdicts = [target["verdict"] for target in results["targets"]]
    assert status == (1 if "missed" in verdicts else 0)
    text = capsys.readouterr().out
    assert "- date: 2026-11-24" in text
    assert "| onnx-from-torch | bfloat16 |  |  |  | ONNX Runtime has no convolution" in text
    assert (tmp_path / "out" / "cuda.md").read_text("utf-8").endswith(text)


def test_what_counts_most_is_measured_first_and_each_result_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stages: list[tuple[str, str]] = []
    saved: list[int] = []

    def judge(_: Any, runtimes: Any, lanes: Any) -> Any:
        for lane in lanes:
            for runtime in runtimes:
                stages.append(("parity", lane.name))
                yield runtime

    def measure(_: Any, runtimes: Any, lanes: Any, _folder: Path) -> Any:
        for lane in lanes:
            for runtime in runtimes:
                stages.append(("throughput", lane.name))
                yield runtime

    def test(_: Any, marks: str) -> results.Tests:
        stages.append(("tests", marks))
        return results.Tests(0, "")

    monkeypatch.setattr(schedule.Schedule, "_gpu", lambda _: {})
    monkeypatch.setattr(Parity, "judge", judge)
    monkeypatch.setattr(Speed, "measure", measure)
    monkeypatch.setattr(Schedule, "_test", test)
    monkeypatch.setattr(Output, "save", lambda *_: saved.append(len(stages)))
    published: list[int] = []
    monkeypatch.setattr(Output, "publish", lambda *_, **__: published.append(len(stages)))
    made(tmp_path, "--device", "cuda", "--runtimes", "torch", "--tests").run()
    assert stages == [
        ("parity", "strict"),
        ("parity", "tf32"),
        ("parity", "default"),
        ("throughput", "strict"),
        ("throughput", "tf32"),
        ("throughput", "default"),
        ("parity", "bfloat16"),
        ("parity", "float16"),
        ("throughput", "bfloat16"),
        ("throughput", "float16"),
        ("tests", "cuda and not full"),
        ("tests", "cuda and full"),
    ]
    assert saved == list(range(1, 13))
    assert published == [1, 3, 6, 8, 10, 12]


def test_a_stopped_run_writes_its_page_from_what_it_has(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [*QUICK, "--runtimes", "torch,keras-tensorflow,keras-jax", "--out", str(out)]
    arguments += ["--at-once", "2"]
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cuda", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    report = out / "report.json"
    while running.poll() is None and not report.exists():
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    text, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    rows = read(report)["rows"]
    assert rows[0]["runtime"] == "torch"
    assert rows[0]["status"] == "holds"
    assert ("keras-jax", "bfloat16") not in [(row["runtime"], row["lane"]) for row in rows]
    assert read(out / "throughput.json")["stopped"].startswith("after ")
    page = (out / "cuda.md").read_text("utf-8")
    assert "**The run was stopped after " in page
    assert "| torch | strict | holds |" in page
    assert page.endswith(text)
    assert (out / "report.html").exists()


def test_what_there_is_no_time_for_is_a_row_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--runtimes", "torch", "--seconds", "0", "--tests", "--out", str(tmp_path)]
    assert command.main([*QUICK, *chosen]) == 1
    rows = read(tmp_path / "report.json")["rows"]
    assert {row["status"] for row in rows} == {"not run"}
    assert {row["reason"] for row in rows} == {OVER}
    results = read(tmp_path / "throughput.json")
    assert {entry["reason"] for entry in results["throughput"]} == {OVER}
    assert results["tests"] == {
        which: {"status": None, "summary": OVER} for which in ("tiny network", "full size")
    }
    assert OVER in capsys.readouterr().out


@pytest.mark.parametrize(("code", "verdict"), [(0, "met"), (1, "missed")])
def test_the_tests_that_need_a_gpu_are_a_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, verdict: str
) -> None:
    asked: list[list[str]] = []

    def pytest_run(arguments: list[str], stdout: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        stdout.write(f"F..\n=== {len(asked)} failed, 2 passed in 3.00s ===\n\n")
        return subprocess.CompletedProcess(arguments, code)

    (tmp_path / "tests.txt").write_text("=== 9 failed, in an earlier run ===\n")
    one = made(tmp_path, "--tests", "--lanes", "tf32")  # not on the CPU: there are only the tests
    monkeypatch.setattr(subprocess, "run", pytest_run)
    one.run()
    first, second = asked
    assert first[1:7] == ["-m", "pytest", "-v", "-m", "cuda and not full", "--device=cpu"]
    assert second[1:7] == ["-m", "pytest", "-v", "-m", "cuda and full", "--device=cpu"]
    files = {each for each in first + second if each.endswith(".py")}
    assert len(files) == 2
    assert all("pytest.mark.cuda" in Path(file).read_text("utf-8") for file in files)
    targets = one.results.targets[-2:]
    assert [target.name.partition(", ")[2] for target in targets] == ["tiny network", "full size"]
    for number, target in enumerate(targets, 1):
        assert (target.verdict, target.note) == (verdict, f"{number} failed, 2 passed in 3.00s")
    lines = (tmp_path / "tests.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if "failed" in line] == [
        f"=== {number} failed, 2 passed in 3.00s ===" for number in (1, 2)
    ]


def test_tests_have_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[float] = []

    def too_slow(arguments: list[str], timeout: float, **_: Any) -> None:
        given.append(timeout)
        raise subprocess.TimeoutExpired(arguments, timeout)

    one = made(tmp_path, "--tests", "--lanes", "tf32", "--seconds", "1000", "--at-most", "1")
    monkeypatch.setattr(subprocess, "run", too_slow)
    one.run()
    assert [tests.summary for tests in one.results.tests.values()] == [OVER, OVER]
    assert 1000 >= given[0] >= given[1] > 1


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (f"{process.STOPPED} 5 s", "not run", OVER),
        ("ValueError: wrong", "failed", "ValueError: wrong"),
    ],
)
def test_a_worker_stopped_at_the_deadline_was_not_run_and_one_that_fails_has_failed(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, error: str, status: str, reason: str
) -> None:
    monkeypatch.setattr(workspace, "work", lambda *_, **__: Record(error=error))
    deadline = time.monotonic() + 600
    parity = Parity(tiny, PICTURES, "cpu", deadline=deadline, progress=nullcontext)
    grown: list[Report] = [
        parity.report for _ in parity.judge([RUNTIMES["torch"]], [LANES["strict"]])
    ]
    (row,) = grown[-1].rows
    assert (row.status, row.reason) == (status, reason)


def test_an_export_leaves_its_run_the_rest_of_the_time(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    given: list[tuple[str, float]] = []

    def work(job: Job, timeout: float) -> Record:
        given.append((job.task, timeout))
        time.sleep(0.05)
        return Record(error="" if job.task == "export" else "ValueError: wrong")

    monkeypatch.setattr(workspace, "work", work)
    deadline = time.monotonic() + 600
    parity = Parity(tiny, PICTURES, "cpu", deadline=deadline, progress=nullcontext)
    assert len(list(parity.judge([RUNTIMES["onnx-from-torch"]], [LANES["strict"]]))) == 1
    (export, before), (run, after) = given
    assert (export, run) == ("export", "run")
    assert after <= before - 0.05


def test_without_a_gpu_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    monkeypatch.chdir(tmp_path)
    assert command.main(["--configuration", "tiny"]) == 2
    assert "--device cuda: no GPU is found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [(QUICK, "--markdown: is for figures of a GPU"), ([], "has no measured part")],
)
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    refusal: str,
) -> None:
    page = tmp_path / "cuda.md"
    page.write_text("as it was")
    monkeypatch.setattr(command, "Schedule", lambda *_: pytest.fail("it was measured"))
    assert command.main([*arguments, "--markdown", str(page)]) == 2
    assert refusal in capsys.readouterr().err
    assert page.read_text() == "as it was"
