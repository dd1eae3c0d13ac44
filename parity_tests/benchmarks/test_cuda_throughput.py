"""Throughput workers of `benchmarks.cuda` run ahead of each other; what is timed stays alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Lock
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock, Timeout

from benchmarks.cuda import __main__ as command
from benchmarks.cuda import throughput, worker
from benchmarks.cuda.throughput import Speed
from benchmarks.cuda.worker import timed
from benchmarks.harness import measure
from benchmarks.harness.measure import OVER, Outcome
from benchmarks.harness.pool import at_once
from benchmarks.harness.worker import Recorder
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def speed(tiny: Checkpoint) -> Callable[..., Speed]:
    def made(number: int, seconds: float = 600, device: str = "cpu") -> Speed:
        chosen = command._parser().parse_args(["--device", device, "--at-once", str(number)])
        deadline = time.monotonic() + seconds
        return Speed(chosen, tiny, deadline=deadline, progress=lambda _: nullcontext())

    return made


def measured(one: Speed, folder: Path, runtimes: str, lanes: str) -> Iterator[None]:
    chosen = [RUNTIMES[name] for name in runtimes.split(",")]
    return one.measure(chosen, [LANES[name] for name in lanes.split(",")], folder)


def outcome(job: dict[str, Any]) -> Outcome:
    """What a worker returns that measured one batch in a second, or a product."""
    batch = {"batch": 1, "seconds": 1.0, "runs": 5, "error": ""}
    return Outcome(result={"flops": 1.0} if job["task"] == "rate" else {"batches": [batch]})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_results_keep_their_order_however_many_workers_run_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed], number: int
) -> None:
    running, most, guard, locks = 0, 0, Lock(), set[str]()

    def work(job: dict[str, Any], lane: str, *_: Any) -> Outcome:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            locks.add(job["lock"])
        # The first worker takes longest, so that later ones overtake it.
        time.sleep(0.4 if lane == "strict" else 0.1)
        with guard:
            running -= 1
        return outcome(job)

    monkeypatch.setattr(throughput, "work", work)
    one = speed(number)
    grown = [
        len(one.entries) for _ in measured(one, tmp_path, "torch,keras-torch", "strict,float16")
    ]
    assert grown == [1, 2, 3, 4]
    assert [(entry.lane, entry.runtime) for entry in one.entries] == [
        ("strict", "torch"),
        ("strict", "keras-torch"),
        ("float16", "torch"),
        ("float16", "keras-torch"),
    ]
    assert list(one.rates) == ["float32", "float16"]
    assert most == number
    assert len(locks) == 1  # a matrix product is not timed beside a network


def test_a_result_is_there_while_the_next_worker_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed]
) -> None:
    seen = Event()

    def work(job: dict[str, Any], lane: str, *_: Any) -> Outcome:
        assert lane == "strict" or seen.wait(60)
        return outcome(job)

    monkeypatch.setattr(throughput, "work", work)
    one = speed(2)
    steps = measured(one, tmp_path, "torch", "strict,bfloat16")
    next(steps)
    assert [entry.lane for entry in one.entries] == ["strict"]
    seen.set()
    assert [None, *steps] == [None, None]


@pytest.mark.parametrize("task", ["rate", "throughput"])
def test_what_is_timed_holds_the_lock_and_loading_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Checkpoint, task: str
) -> None:
    lock = tmp_path / "lock"
    happened: list[str] = []

    def held() -> bool:
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True

    def load(_: Any) -> Any:
        happened.append("loads alone" if held() else "loads")
        return SimpleNamespace(network=None, flags={})

    def prepare(*_: Any) -> Any:
        happened.append("prepares alone" if held() else "prepares")

    def timed(*_: Any) -> list[float]:
        happened.append("runs alone" if held() else "runs")
        return [1.0]

    monkeypatch.setattr(worker, "loader", lambda _: load)
    monkeypatch.setattr(worker, "step", prepare)
    monkeypatch.setattr(worker, "timed", timed)
    job = {"runtime": "torch", "lane": "default", "device": "cpu", "lock": str(lock), "model": ""}
    job |= {"checkpoint": str(tiny.file)}
    more = {"size": 4, "batches": [1, 2], "seconds": 0.0}
    getattr(worker, task)({**job, **more}, Recorder(tmp_path / "record"))
    expected = {
        "rate": ["runs alone"],
        "throughput": ["loads", *["prepares alone", "runs alone"] * 2],
    }
    assert happened == expected[task]
    assert not held()


def test_a_graph_is_exported_once_for_all_lanes_of_its_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed]
) -> None:
    exported: list[str] = []

    def export(job: Job, **_: Any) -> Record:
        exported.append(LANES[job.lane].precision)
        time.sleep(0.2)
        Path(job.model).mkdir()
        return Record()

    def work(job: dict[str, Any], lane: str, *_: Any) -> Outcome:
        if job["task"] == "throughput":
            assert lane == "bfloat16" or Path(job["model"]).exists()
        return outcome(job)

    monkeypatch.setattr(process, "work", export)
    monkeypatch.setattr(throughput, "work", work)
    one = speed(4)
    for lanes in ("strict,default", "bfloat16,float16"):
        assert len(list(measured(one, tmp_path, "onnx-from-torch", lanes))) == 2
    assert exported == ["float32", "float16"]


@pytest.mark.parametrize(
    ("seconds", "error", "reason"),
    [
        (20.2235, f"{process.STOPPED} 20.2235 s", OVER),
        (600, f"{process.STOPPED} 150 s", f"{process.STOPPED} 150 s"),
        (20, "ValueError: wrong", "ValueError: wrong"),
    ],
)
def test_an_export_stopped_at_the_deadline_was_not_run_and_one_that_fails_has_failed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    speed: Callable[..., Speed],
    seconds: float,
    error: str,
    reason: str,
) -> None:
    monkeypatch.setattr(process, "work", lambda *_, **__: Record(error=error))
    monkeypatch.setattr(throughput, "work", lambda job, *_: outcome(job))
    one = speed(1, seconds)
    assert len(list(measured(one, tmp_path, "onnx-from-torch", "strict,default"))) == 2
    assert [entry.reason for entry in one.entries] == [reason] * 2


def test_at_the_deadline_a_worker_is_stopped_and_no_other_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed]
) -> None:
    started: list[str] = []

    def start_sleeper(_: str, job: dict[str, Any], *others: Any, **options: Any) -> Outcome:
        started.append(job["task"])
        return run("sleeper", job, *others, **options)

    run = measure.run
    monkeypatch.setattr(measure, "run", start_sleeper)
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start, one = time.monotonic(), speed(1, 2)
    list(measured(one, tmp_path, "torch,keras-torch,onnx-from-torch", "strict,default,bfloat16"))
    assert [entry.reason for entry in one.entries] == [OVER] * 9
    assert one.rates == {}
    assert started == ["rate"]
    assert time.monotonic() - start < 10


def test_no_worker_goes_on_or_starts_after_an_interrupt() -> None:
    ended: list[int] = []

    def two_workers() -> None:
        for _ in range(2):
            ended.append(subprocess.run(SLEEP, check=False).returncode)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), at_once(2) as pool:
        for _ in range(3):
            pool.submit(two_workers)
        time.sleep(0.5)
        raise KeyboardInterrupt
    assert ended == [-9] * 4  # the third of three was not started
    assert time.monotonic() - start < 30


def test_an_interrupted_measurement_ends_its_workers_and_keeps_its_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed]
) -> None:
    ended: list[int] = []

    def work(job: dict[str, Any], lane: str, *_: Any) -> Outcome:
        if lane != "strict":
            ended.append(subprocess.run(SLEEP, check=False).returncode)
        return outcome(job)

    monkeypatch.setattr(throughput, "work", work)
    one = speed(2)
    steps = one.measure([RUNTIMES["torch"]], [LANES["strict"], LANES["default"]], tmp_path)
    next(steps)
    time.sleep(0.5)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt)
    assert ended == [-9]
    assert [entry.lane for entry in one.entries] == ["strict"]


def test_the_roofline_of_tf32_is_of_products_in_tf32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speed: Callable[..., Speed]
) -> None:
    asked: list[tuple[str, str]] = []

    def work(job: dict[str, Any], lane: str, *_: Any) -> Outcome:
        asked.append((job["task"], lane))
        return Outcome(result={"flops": 1e12})

    monkeypatch.setattr(throughput, "work", work)
    one = speed(1, device="cuda")
    lanes = [LANES[name] for name in ("default", "tf32", "float16")]
    assert list(one.measure([], lanes, tmp_path)) == []
    assert one.rates == {"tf32": 1e12, "float16": 1e12}
    # PyTorch's own default lane has products in IEEE float32.
    assert asked == [("rate", "tf32"), ("rate", "float16")]


def test_the_median_is_of_several_runs_after_a_warm_up() -> None:
    runs: list[int] = []
    assert len(timed(lambda: runs.append(0), 0.0)) == 5
    assert len(runs) == 8
    assert len(timed(lambda: None, 60.0)) == 50
