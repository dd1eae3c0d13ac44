"""Every runtime is run or accounted for; one that breaks is a row, not an end."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity import report as reports
from parity import run, runtimes
from parity.compare import judge
from parity.runtimes import RUNTIMES, Job, Record, Runtime, work
from parity_tests.cuda import unusable
from vgg16.checkpoint import Checkpoint
from vgg16.errors import BadInput
from vgg16.photographs import PHOTOGRAPHS

PICTURES = [photograph.path for photograph in PHOTOGRAPHS]


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """Have the named modules look as if they were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name in absent else real(name))


def test_what_is_missing_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "keras", "tensorflow", "tf2onnx")
    assert RUNTIMES["torch"].missing() == ""
    assert RUNTIMES["keras-tensorflow"].missing() == (
        'keras and tensorflow are not installed: pip install -e ".[keras]"'
    )
    assert RUNTIMES["onnx-from-keras"].missing() == (
        'keras and tensorflow and tf2onnx are not installed: pip install -e ".[keras,onnx]"'
    )
    assert [runtime.name for runtime in runtimes.installed()] == ["torch", "onnx-from-torch"]


def test_a_runtime_that_is_not_installed_is_a_row_of_the_report(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    without(monkeypatch, "jax", "torch")
    chosen = [RUNTIMES["keras-jax"], RUNTIMES["torch"]]
    report = run.run_parity(tiny, PICTURES, chosen)
    assert [(row.runtime, row.status) for row in report.rows] == [
        ("keras-jax", "not run"),
        ("torch", "not run"),
    ]
    assert 'pip install -e ".[jax]"' in report.rows[0].reason
    assert not report.holds
    assert report.summary == "Nothing was compared: no runtime could run."


def test_every_module_that_a_runtime_needs_is_in_an_extra_that_it_names() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for runtime in RUNTIMES.values():
        named = " ".join(line for extra in runtime.extras.split(",") for line in extras[extra])
        for module in runtime.modules:
            assert module.replace("_", "-") in named, (runtime.name, module)


def outcome(*statuses: Any, all_required: bool = False) -> tuple[bool, str]:
    """What a report says whose rows, named after their position, have these statuses."""
    good = judge(np.ones((1, 4)), np.ones((1, 4)))
    rows = tuple(
        reports.Row(str(index), status, verdict=good if status == "holds" else None)
        for index, status in enumerate(statuses)
    )
    weights = reports.Weights("tiny", 1, True, "", "", {})
    report = reports.Report(weights, (), "cpu", 0.1, 1, all_required, rows)
    return report.holds, report.summary


def test_the_outcome_says_what_was_shown() -> None:
    held = "Parity holds: 1 runtime within 1e-05 of the float64 arbiter."
    assert outcome("holds") == (True, held)
    assert outcome("holds", "not run") == (True, held)
    assert outcome("holds", "not run", all_required=True) == (
        False,
        "Parity is not shown: 1 did not run.",
    )
    assert outcome("holds", "failed") == (False, "Parity is not shown: 1 failed.")
    assert outcome("holds", "broken", "failed") == (False, "Parity is broken: 1.")
    assert outcome("not run") == (False, "Nothing was compared: no runtime could run.")
    assert outcome() == (False, "Nothing was compared: no runtime could run.")


def test_a_device_that_is_not_there_is_a_row_that_was_not_run(tiny: Checkpoint) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], device="cuda").rows
    assert (row.status, row.reason) == ("not run", "PyTorch finds no usable GPU")


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


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(BadInput, match="'caffe' is unknown; expected one of torch, keras-tensorf"):
        runtimes.runtime("caffe")


def test_a_worker_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    job = Job("run", "torch", str(tmp_path / "none.safetensors"), str(tmp_path / "job"))
    record = work(job)
    assert record.error
    assert "\n" not in record.error
    assert record.versions == {}


def test_a_worker_that_is_killed_is_a_failed_row_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    real = subprocess.run

    def kill(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if json.loads(Path(command[-1]).read_text())["runtime"] == "torch":
            suicide = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
            return real([sys.executable, "-c", suicide], **options)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", kill)
    chosen = [RUNTIMES["torch"], RUNTIMES["keras-jax"]]
    report = run.run_parity(tiny, PICTURES, chosen)
    assert [row.status for row in report.rows] == ["failed", "holds"]
    assert report.rows[0].reason == "the worker was killed by signal 9: it printed nothing"
    assert not report.holds
    assert report.summary == "Parity is not shown: torch failed."


def test_the_record_says_what_ran_where_and_at_what_cost(tiny: Checkpoint) -> None:
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]]).rows
    assert row.status == "holds"
    assert row.record is not None
    assert row.record.versions == {"torch": version("torch")}
    assert row.record.device == "cpu"
    assert row.record.mode == "float32"
    assert row.record.threads >= 1
    assert set(row.record.seconds) == {"import", "load", "run"}
    assert row.record.peak_bytes > 50_000_000


def test_weights_that_differ_break_parity(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    # The worker is handed a checkpoint with one bias off by a thousandth.
    from vgg16.checkpoint import Checkpoint, Tensor, write_checkpoint

    tensors = {name: Tensor.of(np.array(tiny[name])) for name in tiny}
    tensors["block3_conv2.bias"].read()[1] += 1e-3
    changed = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    path = write_checkpoint(changed, tmp_path / "changed.safetensors").path

    real = runtimes.work
    monkeypatch.setattr(
        run, "work", lambda job: real(dataclasses.replace(job, checkpoint=str(path)))
    )
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]])
    assert [row.status for row in report.rows] == ["broken"]
    assert "of the largest logit" in report.rows[0].reason


def test_a_checkpoint_that_is_in_no_file_can_be_run(tiny: Checkpoint) -> None:
    from vgg16.seeded import generate

    report = run.run_parity(generate(tiny.configuration), PICTURES[:1], [RUNTIMES["torch"]])
    assert report.holds
    assert report.weights.sha256 == ""


def test_input_that_cannot_be_used_is_refused_before_anything_runs(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    chosen = [RUNTIMES["torch"]]
    with pytest.raises(BadInput, match="images: none given"):
        run.run_parity(tiny, [], chosen)
    with pytest.raises(BadInput, match="no such file"):
        run.run_parity(tiny, [tmp_path / "none.png"], chosen)
    with pytest.raises(BadInput, match="has no classifier"):
        run.run_parity(tiny.without_top(), PICTURES, chosen)


def test_the_environment_chooses_the_backend_and_hides_the_gpu() -> None:
    keras_jax = runtimes._environment(RUNTIMES["keras-jax"], "cpu")
    assert keras_jax["KERAS_BACKEND"] == "jax"
    assert keras_jax["CUDA_VISIBLE_DEVICES"] == ""
    on_gpu = runtimes._environment(RUNTIMES["keras-jax"], "cuda")
    assert on_gpu.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_the_json_document_holds_no_number_that_json_lacks() -> None:
    verdict = judge(np.full((1, 4), np.nan), np.ones((1, 4)))
    weights = reports.Weights("tiny", 1, True, "", "", {})
    row = reports.Row("torch", "broken", verdict.reason, verdict, Record())
    document = reports.to_json(reports.Report(weights, (), "cpu", 0.1, 1, False, (row,)))
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["rows"][0]["verdict"]["relative_error"] is None
    assert json.loads(text)["schema"] == "vgg16-parity-report/1"


def test_names_are_unique_and_as_documented() -> None:
    assert list(RUNTIMES) == [
        "torch",
        "keras-tensorflow",
        "keras-jax",
        "keras-torch",
        "onnx-from-keras",
        "onnx-from-torch",
    ]
    assert all(isinstance(runtime, Runtime) for runtime in RUNTIMES.values())
