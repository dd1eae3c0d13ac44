"""A worker process that breaks, hangs or is killed is a row, not an end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.cuda import unusable
from parity_tests.support.helpers import PICTURES
from vgg16_parity import run
from vgg16_parity.report.table import summary
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.process import environment, work
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


def job(folder: Path, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "task": "run",
        "runtime": RUNTIMES["torch"],
        "lane": "strict",
        "device": "cpu",
        "checkpoint": str(folder / "none.safetensors"),
        "folder": str(folder / "job"),
        "depth": "logits",
    }
    return Job(**values | changes)


def test_a_worker_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    record = work(job(tmp_path))
    assert "none.safetensors: no such file; expected " in record.error
    assert "\n" not in record.error
    assert record.versions == {}


def test_a_job_survives_as_text() -> None:
    given = Job("run", RUNTIMES["keras-jax"], "default", "/c", "/f", "cuda", ("/a", "/b"))
    assert Job.of_text(given.to_text()) == given


def broken_worker(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have PyTorch's worker run this instead."""
    real = subprocess.run

    def start(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if Job.of_text(command[-1]).runtime.name == "torch":
            command = [sys.executable, "-c", code]
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", start)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})",
            "the worker was killed by signal 9, as where memory runs out: it printed nothing",
        ),
        (
            f"import os; print('bad', flush=True); os.kill(os.getpid(), {int(signal.SIGTERM)})",
            "the worker was killed by signal 15: bad",
        ),
        ("import sys; print('Aborted'); sys.exit(3)", "the worker ended with status 3: Aborted"),
        ("import time; time.sleep(600)", "the worker was stopped after 20 s"),
    ],
    ids=["out of memory", "killed", "ended", "hanging"],
)
def test_one_that_breaks_is_a_failed_row_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, code: str, reason: str
) -> None:
    broken_worker(monkeypatch, code)
    chosen = [RUNTIMES["torch"], RUNTIMES["keras-jax"]]
    report = run.run_parity(tiny, PICTURES[:1], chosen, depth="logits", timeout=20)
    assert [row.status for row in report.rows] == ["failed", "holds"]
    assert report.rows[0].reason == reason
    assert not report.holds
    assert summary(report) == "Parity is not shown: torch (strict) failed."


def test_memory_that_runs_out_inside_is_told(tmp_path: Path) -> None:
    module = tmp_path / "hungry.py"
    module.write_text("def run(images, weights):\n    return bytearray(1 << 60)\n")
    from vgg16_parity.runtimes.registry import own_port

    folder = tmp_path / "case"
    folder.mkdir()
    import numpy as np

    np.save(folder / "images.npy", np.zeros((1, 3, 64, 64), np.float32))
    chosen = own_port(f"{module}:run")
    assert work(job(tmp_path, runtime=chosen, cases=(str(folder),))).error.startswith("MemoryError")


def test_the_record_says_what_ran_where_and_at_what_cost(tiny: Checkpoint) -> None:
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]]).rows
    assert row.status == "holds"
    assert row.record is not None
    assert row.record.versions == {"torch": version("torch")}
    assert row.record.device == "cpu"
    assert row.record.flags["deterministic_algorithms"] == "True"
    assert row.record.threads >= 1
    assert set(row.record.seconds) == {"import", "load", "run", "repeat", "layers", "probes"}
    assert (row.record.repeats, row.record.differs_from) == ("equal", "")
    assert row.record.peak_bytes > 50_000_000


def test_a_device_that_is_not_there_is_a_row_that_was_not_run(tiny: Checkpoint) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], device="cuda").rows
    assert row.status == "not run"
    assert row.reason.startswith("PyTorch finds no usable GPU")


def test_files_in_the_users_folder_do_not_replace_the_packages(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    for name in ("torch", "parity", "export", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')")
    monkeypatch.chdir(tmp_path)
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]]).rows
    assert row.status == "holds", row.reason


def test_the_users_keras_configuration_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    configuration = {"floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(configuration | {"backend": "torch"}))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["keras-jax"]]).rows
    assert row.status == "holds", row.reason


def test_the_environment_chooses_the_backend_and_hides_the_gpu(tmp_path: Path) -> None:
    keras_jax = environment(job(tmp_path, runtime=RUNTIMES["keras-jax"]))
    assert keras_jax["KERAS_BACKEND"] == "jax"
    assert keras_jax["CUDA_VISIBLE_DEVICES"] == ""
    on_gpu = environment(job(tmp_path, device="cuda"))
    assert on_gpu.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(("asked", "found"), [(None, "false"), ("true", "true")])
def test_jax_reserves_the_gpu_only_where_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str | None, found: str
) -> None:
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    monkeypatch.delenv(name, raising=False)
    assert name not in environment(job(tmp_path, runtime=RUNTIMES["keras-jax"]))
    if asked:
        monkeypatch.setenv(name, asked)
    on_gpu = environment(job(tmp_path, runtime=RUNTIMES["keras-jax"], device="cuda"))
    assert on_gpu[name] == found


def test_the_strict_lane_wins_over_the_users_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in (("NVIDIA_TF32_OVERRIDE", "1"), ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")):
        monkeypatch.setenv(variable, value)
    strict, default = (environment(job(tmp_path, lane=name)) for name in ("strict", "default"))
    assert strict["NVIDIA_TF32_OVERRIDE"] == "0"
    assert strict["ONEDNN_DEFAULT_FPMATH_MODE"] == "STRICT"
    # The other is as it comes, from the user too.
    assert default["NVIDIA_TF32_OVERRIDE"] == "1"
