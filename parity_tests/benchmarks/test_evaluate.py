"""`benchmarks.evaluate` measures what it says it does; its figures are not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.evaluate import __main__ as command
from parity_tests.support.tolerances import FLOAT32_TAPS

RUNTIMES = ("torch", "onnx-from-torch", "torch-timm")


@pytest.mark.slow
def test_both_sides_compute_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, figures = tmp_path / "report.md", tmp_path / "figures.json"
    work = tmp_path / "work"
    work.mkdir()
    arguments = ["--configuration", "tiny", "--repeats", "1", "--images", "20", "--batch", "8"]
    arguments += ["--runtimes", ",".join(RUNTIMES), "--folder", str(work), "--date", "2026-11-23"]
    assert command.main([*arguments, "--markdown", str(report), "--json", str(figures)]) == 0

    document = json.loads(figures.read_text("utf-8"))
    assert tuple(document["runtimes"]) == RUNTIMES
    for row in document["runtimes"].values():
        assert row["difference"] <= FLOAT32_TAPS.limit
        (engine,), (loop,) = row["engines"], row["loops"]
        assert row["ratio"] == loop["result"]["seconds"] / engine["result"]["seconds"] > 0
        for memory in ("above_weights", "peak_above_weights", "main"):
            assert engine["result"][memory] > 0
    assert len(document["targets"]) == 2 * len(RUNTIMES)
    text = report.read_text("utf-8")
    assert "- date: 2026-11-23" in text
    assert capsys.readouterr().out == text
    assert not list(work.iterdir())
