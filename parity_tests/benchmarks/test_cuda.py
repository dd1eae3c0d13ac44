"""`benchmarks.cuda` measures what it says it does, here without a GPU; figures are no test's."""

from __future__ import annotations

import importlib.util
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from benchmarks.cuda import bench, parity
from benchmarks.cuda.worker import timed
from benchmarks.harness.measure import Outcome
from parity_tests.support.cuda import unusable
from vgg16_parity import run
from vgg16_parity.report import schema
from vgg16_parity.runtimes import process, requirements
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.slow

TINY = ["--device", "cpu", "--configuration", "tiny", "--batches", "1,2"]
QUICK = [*TINY, "--each", "0.01", "--side", "64", "--date", "2026-11-24"]


def test_one_command_writes_reports_and_throughput(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        requirements, "find_spec", lambda name: None if name == "jax" else real(name)
    )
    chosen = ["--runtimes", "torch,keras-jax,onnx-from-torch", "--seconds", "500"]
    chosen += ["--lanes", "strict,bfloat16"]
    status = bench.main([*QUICK, *chosen, "--out", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert list(Draft202012Validator(schema.schema()).iter_errors(document)) == []
    found = {(row["runtime"], row["lane"]): row["status"] for row in document["rows"]}
    assert {lane for _, lane in found} == {"strict", "bfloat16"}
    assert found["torch", "strict"] == found["onnx-from-torch", "strict"] == "holds"
    assert found["keras-jax", "strict"] == found["onnx-from-torch", "bfloat16"] == "not run"
    assert "run twice: the same bits" in (tmp_path / "out" / "report.html").read_text("utf-8")

    results = json.loads((tmp_path / "out" / "throughput.json").read_text("utf-8"))
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
    reached = [target["reached"] for target in results["targets"]]
    assert status == (1 if False in reached else 0)
    text = capsys.readouterr().out
    assert "- date: 2026-11-24" in text
    assert "| onnx-from-torch | bfloat16 |  |  |  | ONNX Runtime has no convolution" in text


def test_what_there_is_no_time_for_is_a_row_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--runtimes", "torch", "--seconds", "0", "--out", str(tmp_path)]
    assert bench.main([*QUICK, *chosen]) == 1
    rows = json.loads((tmp_path / "report.json").read_text("utf-8"))["rows"]
    assert {row["status"] for row in rows} == {"not run"}
    assert {row["reason"] for row in rows} == {"the time for all runs was over"}
    measured = json.loads((tmp_path / "throughput.json").read_text("utf-8"))["throughput"]
    assert {entry["reason"] for entry in measured} == {"the time for all runs was over"}
    assert "the time for all runs was over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (f"{process.STOPPED} 5 s", "not run", "the time for all runs was over"),
        ("ValueError: wrong", "failed", "ValueError: wrong"),
    ],
)
def test_what_is_stopped_for_want_of_time_was_not_run_and_what_fails_has_failed(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, error: str, status: str, reason: str
) -> None:
    monkeypatch.setattr(run, "work", lambda *_, **__: process.Record(error=error))
    pictures = [photograph.path for photograph in PHOTOGRAPHS]
    (row,) = parity.run(
        tiny, pictures, [RUNTIMES["torch"]], ["strict"], "cpu",
        deadline=time.monotonic() + 600, progress=nullcontext,
    ).rows  # fmt: skip
    assert (row.status, row.reason) == (status, reason)


def test_without_a_gpu_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    monkeypatch.chdir(tmp_path)
    assert bench.main(["--configuration", "tiny"]) == 2
    assert "--device cuda: no GPU is found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_figures_is_of_a_gpu_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "cuda.md"
    page.write_text("as it was")
    assert bench.main([*QUICK, "--markdown", str(page)]) == 2
    assert "--markdown: is asked for without a GPU" in capsys.readouterr().err
    assert page.read_text() == "as it was"


def test_a_page_without_the_place_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "cuda.md"
    page.write_text("no marks")
    monkeypatch.setattr(bench._Bench, "run", lambda _: pytest.fail("it was measured"))
    assert bench.main(["--markdown", str(page)]) == 2
    assert "has no place for what was measured" in capsys.readouterr().err


def test_the_roofline_of_tf32_is_of_products_in_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def worker(_: Any, job: dict[str, Any], lane: str, _runtime: Any) -> Outcome:
        asked.append((job["task"], lane))
        return Outcome("", 1.0, 1, {}, {"flops": 1e12})

    monkeypatch.setattr(bench._Bench, "_worker", worker)
    measured = bench._Bench(bench._parser().parse_args(["--lanes", "default,float16"]))
    assert measured._rates() == {"tf32": 1e12, "float16": 1e12}
    # PyTorch's own default lane has products in IEEE float32.
    assert asked == [("rate", "tf32"), ("rate", "float16")]


def test_the_median_is_of_several_runs_after_some_that_do_not_count() -> None:
    runs: list[int] = []
    assert len(timed(lambda: runs.append(0), 0.0)) == 5
    assert len(runs) == 8
    assert len(timed(lambda: None, 60.0)) == 50
