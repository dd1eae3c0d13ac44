"""`benchmarks.port` measures what it says it does; its figures are not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.port import __main__ as command

DIRECTIONS = ("safetensors:keras-weights-h5", "timm:npz")


@pytest.mark.slow
def test_it_reports_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, figures = tmp_path / "report.md", tmp_path / "figures.json"
    work = tmp_path / "work"
    work.mkdir()
    arguments = ["--configuration", "tiny", "--repeats", "1", "--directions", ",".join(DIRECTIONS)]
    arguments += ["--folder", str(work), "--date", "2026-11-23"]
    assert command.main([*arguments, "--markdown", str(report), "--json", str(figures)]) == 0

    document = json.loads(figures.read_text("utf-8"))
    assert list(document["directions"]) == [name.replace(":", " to ") for name in DIRECTIONS]
    for row in document["directions"].values():
        assert row["source_bytes"] > 0
        assert row["port_seconds"] > 0
        assert row["copy_seconds"] > 0
        assert row["permutation_seconds"] > 0
        units = row["copy_seconds"] + row["permutation_seconds"]
        assert row["ratio"] == pytest.approx(row["port_seconds"] / units)
        assert row["anonymous_above_bytes"] >= 0
        assert row["anonymous_peak_bytes"] > row["anonymous_above_bytes"]
        assert row["resident_peak_bytes"] > row["resident_above_bytes"]
        assert row["errors"] == []
    assert len(document["targets"]) == 2 * len(DIRECTIONS)
    text = report.read_text("utf-8")
    assert "- date: 2026-11-23" in text
    assert all(target["verdict"] in ("met", "missed") for target in document["targets"])
    assert all(f"| {target['name']} |" in text for target in document["targets"])
    assert capsys.readouterr().out == text
    assert not list(work.iterdir())


def test_an_unknown_direction_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--directions", "npz:caffemodel"])
    assert "unknown: npz:caffemodel" in capsys.readouterr().err
