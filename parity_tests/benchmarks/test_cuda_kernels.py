"""`benchmarks.cuda.kernels` records what it says it does, as far as a CPU can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from benchmarks.cuda import kernels, throughput, worker
from benchmarks.cuda.kernels import Recording
from benchmarks.cuda.rounding import NUMBERS, rounding
from benchmarks.harness import command
from benchmarks.harness.measure import Outcome
from benchmarks.harness.worker import Recorder
from parity_tests.support.cuda import unusable
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


def test_the_second_runs_kernels_are_listed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    cpu, gpu = (SimpleNamespace(name=name) for name in ("CPU", "CUDA"))

    @contextmanager
    def profile(**_: Any) -> Iterator[Any]:
        runs.append("profile")
        yield SimpleNamespace(
            events=lambda: [
                SimpleNamespace(name="aten::conv2d", device_type=cpu, device_time_total=9.0),
                SimpleNamespace(name="second", device_type=gpu, device_time_total=2.0),
                SimpleNamespace(name="first", device_type=gpu, device_time_total=1.0),
            ]
        )

    monkeypatch.setattr(torch.profiler, "profile", profile)
    assert worker.profiled(lambda: runs.append("run")) == [("second", 2.0), ("first", 1.0)]
    assert runs == ["run", "profile", "run"]


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Recording]:
    """Records on the CPU, of the tiny network; the workers' kernels are made up."""

    def work(job: dict[str, Any], lane: str, *_: object) -> Outcome:
        if job["task"] == "rounding":
            return Outcome(result={"product": {"left": {"1": 1.0}}, "convolution": {}})
        if job["task"] == "copy":
            return Outcome(result={"copy": 2.0})
        if (job["runtime"], lane) == ("keras-torch", "float16"):
            return Outcome("it broke", result={"1": [["conv", 1.0]]})
        kernels = [["conv", 1.0], [f"pool of {lane}", 2.0], ["conv", 3.0]]
        return Outcome(result={str(batch): kernels for batch in job["batches"]})

    monkeypatch.setattr(kernels, "work", work)
    monkeypatch.setattr(throughput.Exports, "of", lambda *_: ("somewhere", ""))

    def made(*arguments: str) -> Recording:
        chosen = kernels._parser().parse_args(["--configuration", "tiny", *arguments])
        return Recording(chosen, "cpu", tmp_path)

    return made


def test_every_runtime_lane_and_batch_is_recorded(recording: Callable[..., Recording]) -> None:
    one = recording("--batches", "1,3", "--runtimes", "torch,keras-torch")
    *_, found = one.run()
    lanes = ("strict", "default", "bfloat16", "float16")  # tf32 is a GPU's
    expected = [f"{lane} batch {batch}" for lane in lanes for batch in (1, 3)]
    assert list(found["kernels"]["torch"]) == expected
    # What a run had recorded before it failed is kept.
    assert list(found["kernels"]["keras-torch"]) == expected[:-1]
    assert one.failed
    [(first, _), (second, _), (third, _)] = found["kernels"]["torch"]["default batch 3"]
    assert [found["names"][index] for index in (first, second, third)] == [
        "conv", "pool of default", "conv"
    ]  # fmt: skip
    assert found["rounding"]["product"] == {"tf32 left": {"1": 1.0}, "strict left": {"1": 1.0}}
    assert found["copy"] == 2


def test_rounding_and_the_copy_are_recorded_before_any_kernel(
    recording: Callable[..., Recording],
) -> None:
    one = recording("--lanes", "strict", "--runtimes", "torch")
    quick = [found for found in one.run() if not found["kernels"]]
    assert len(quick) == 2 + 1
    assert {"names", "kernels", "rounding", "copy"} == set(quick[-1])


def test_one_process_at_a_time_uses_the_gpu(
    monkeypatch: pytest.MonkeyPatch, recording: Callable[..., Recording]
) -> None:
    locks: list[str] = []

    def work(job: dict[str, Any], *_: object) -> Outcome:
        locks.append(job["lock"])
        return Outcome()

    monkeypatch.setattr(kernels, "work", work)
    list(recording("--lanes", "strict", "--runtimes", "torch,keras-torch").run())
    assert len(locks) == 2 + 1 + 2
    assert len(set(locks)) == 1


@pytest.mark.parametrize("task", ["kernels", "rounded", "copy"])
def test_a_worker_waits_for_the_lock_before_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str
) -> None:
    held: list[bool] = []
    lock = str(tmp_path / "lock")

    def used(*_: Any) -> Any:
        other = FileLock(lock, blocking=False)
        try:
            other.acquire()
        except Timeout:
            held.append(True)
        return {} if task == "rounded" else [1.0]

    for name in ("profiled", "rounding", "timed"):
        monkeypatch.setattr(worker, name, used)
    monkeypatch.setattr(worker, "_prepared", lambda _: (lambda _batch: None, {}))
    job = {"lane": "default", "device": "cpu", "batches": [1], "bytes": 8, "lock": lock}
    getattr(worker, task)(job, Recorder(tmp_path / "record.json"))
    assert held == [True]


def test_a_run_without_a_failure_has_none(recording: Callable[..., Recording]) -> None:
    one = recording("--lanes", "strict", "--runtimes", "torch", "--at-once", "2")
    assert len(list(one.run())) == 1 + 2 + 1
    assert not one.failed


@pytest.mark.parametrize("runtime", ["torch", "onnx-from-torch"])
def test_a_worker_runs_the_network_at_every_batch_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Checkpoint, runtime: str
) -> None:
    chosen = kernels._parser().parse_args(["--configuration", "tiny"])
    exports = throughput.Exports(str(tiny.file), command.limits(chosen), command.say)
    model, reason = exports.of(RUNTIMES[runtime], LANES["default"], tmp_path)
    assert not reason
    monkeypatch.setattr(worker, "profiled", lambda run: [(str(run()), 0.0)])
    recorder = Recorder(tmp_path / "record.json")
    about = {"runtime": runtime, "lane": "default", "device": "cpu", "batches": [1, 3]}
    about["lock"] = str(tmp_path / "lock")
    worker.kernels({**about, "checkpoint": str(tiny.file), "model": model}, recorder)
    assert recorder.result == {"1": [("None", 0.0)], "3": [("None", 0.0)]}


def test_a_copy_counts_what_is_read_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "timed", lambda run, _: [run() or 0.5])
    recorder = Recorder(tmp_path / "record.json")
    worker.copy({"bytes": 1024, "device": "cpu", "lock": str(tmp_path / "lock")}, recorder)
    assert recorder.result == {"copy": 2 * 1024 / 0.5}


def test_a_number_multiplied_by_one_is_itself_without_tf32() -> None:
    found = rounding("cpu", [(8, 8), (2, 8)], [(3, 12, 1), (64, 12, 1)])
    assert len(found["product"]) == 2 * 2
    assert len(found["convolution"]) == 2 * 2 * 2
    for kind in found.values():
        for by_number in kind.values():
            assert by_number == {name: np.float32(number) for name, number in NUMBERS.items()}


def test_numbers_lie_where_nearest_truncated_and_ties_differ() -> None:
    gap = 2.0**-10
    nearest = {name: gap * np.round(number / gap) for name, number in NUMBERS.items()}
    truncated = {name: gap * np.trunc(number / gap) for name, number in NUMBERS.items()}
    assert all(np.float32(number) == number for number in NUMBERS.values())
    assert {name for name in NUMBERS if nearest[name] != truncated[name]} == {
        "1+0.75*2^-10", "1+3*2^-11", "-(1+0.75*2^-10)", "1+2^-11+2^-20"
    }  # fmt: skip
    # Away from zero, ties go up in both.
    assert nearest["1+2^-11"] == 1
    assert nearest["1+3*2^-11"] == 1 + 2 * gap


def test_without_a_gpu_it_says_so(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    assert kernels.main(["--out", str(tmp_path / "k.json")]) == 2
    assert "no usable GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
