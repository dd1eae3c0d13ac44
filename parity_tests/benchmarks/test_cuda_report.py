"""What `benchmarks.cuda` says of its figures: the targets, the page, the plots."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cuda import bench, plot
from benchmarks.cuda import report as cuda_report
from benchmarks.cuda.report import Results, Throughput
from onnx_arbiter.limits import LIMITS
from parity_tests.support.reports import both, everything, report, row, verdict
from vgg16_parity.records import CaseVerdict
from vgg16_spec.errors import BadInput


def measured(**rates: float) -> list[Throughput]:
    """A second's images of runtimes, at batch 32 in the strict lane."""
    names = {"torch": "torch", "keras": "onnx-from-keras", "onnx": "onnx-from-torch"}
    return [Throughput(names[n], "strict", "float32", 32, 32 / r, 9) for n, r in rates.items()]


@pytest.mark.parametrize(
    ("rate", "reached"), [(100.0, True), (81.0, True), (79.0, False), (124.0, True), (126.0, False)]
)
def test_onnx_runtime_and_pytorch_are_within_a_quarter(rate: float, reached: bool) -> None:
    (target,) = cuda_report.speed_targets(measured(torch=100.0, onnx=rate))
    assert target.reached is reached
    assert f"batch 32: {rate / 100:.2f} times" in target.said


def test_a_target_without_figures_is_not_reached_and_not_missed() -> None:
    assert [t.reached for t in cuda_report.speed_targets(measured(torch=100.0))] == [None]
    assert [t.reached for t in cuda_report.speed_targets(measured(onnx=9.0, keras=9.0))] == [None]
    assert [t.reached for t in cuda_report.parity_targets(report())] == [None]
    not_run = row(device="cuda", status="not run", reason="no GPU", cases=(), record=None)
    (target,) = cuda_report.parity_targets(report(not_run, device="both"))
    assert (target.reached, target.said) == (None, "torch: not run: no GPU")


@pytest.mark.parametrize(
    ("ratio", "deviations", "reached"),
    [
        (0.5, 4.0, True),
        (1.01 * LIMITS.ratio.limit, 4.0, False),
        (0.5, 1.01 * LIMITS.deviations.limit, False),
    ],
)
def test_the_strict_lane_on_the_gpu_is_held_against_both_limits(
    ratio: float, deviations: float, reached: bool
) -> None:
    made = both()
    case = made.rows[1].cases[0]
    from dataclasses import replace

    layers = (replace(case.layers[0], local=verdict(ratio, deviations)), *case.layers[1:])
    on_gpu = replace(made.rows[1], cases=(replace(case, layers=layers),))
    (target,) = cuda_report.parity_targets(replace(made, rows=(made.rows[0], on_gpu)))
    assert target.reached is reached


def results(**changes: Any) -> Results:
    facts: dict[str, Any] = {
        "configuration": "D",
        "device": "cuda",
        "facts": {"card": "a GPU", "date": "2026-11-24"},
        "operations": 4_000_000_000,
        "rates": {"float32": 16e12},
        "throughput": (
            *measured(torch=1000.0),
            Throughput("onnx-from-torch", "strict", "float32", 256, reason="out | of memory"),
        ),
        "targets": (cuda_report.Target("something", False, "missed"),),
    }
    return Results(**facts | changes)


def test_throughput_stands_beside_the_roofline() -> None:
    lines = cuda_report.markdown(results(), both(), {}).splitlines()
    assert "| float32 | 16 | 4000 |" in lines
    assert "| torch | strict | 32 | 1000 | 25% |  |" in lines
    assert "| onnx-from-torch | strict | 256 |  |  | out \\| of memory |" in lines
    assert "| something | **no** | missed |" in lines
    assert (
        "| torch | strict, cuda | holds | 0.75 | 5.0 | 1.0e-05 | 1/1 | differs | 0.60, 4.5 |  |"
        in lines
    )
    assert "- card: a GPU" in lines


def test_rows_of_every_kind_have_a_line() -> None:
    lines = cuda_report.markdown(results(), everything(), {}).splitlines()
    assert (
        "| onnx-from-torch | strict | not run |  |  |  |  |  |  | onnxruntime is not installed |"
        in lines
    )


def test_a_row_whose_case_was_not_compared_is_no_figure() -> None:
    beyond = CaseVerdict("photographs", (), (), "block5_pool reaches 1e+05, beyond float16")
    made = report(row(status="broken", reason=beyond.reason, cases=(beyond,), device="cpu"))
    (target,) = cuda_report.parity_targets(made)
    assert (target.reached, target.said) == (None, f"torch: broken: {beyond.reason}")
    assert beyond.reason in cuda_report.markdown(results(device="cpu"), made, {})
    assert list(plot.figures(results(device="cpu"), made)) == ["throughput.png"]


def drawn(figure: Any) -> dict[str, dict[str, list[float]]]:
    """A panel's title -> a line's label -> its values."""
    return {
        panel.get_title(loc="left").partition(":")[0]: {
            line.get_label(): [float(value) for value in line.get_ydata()]
            for line in panel.get_lines()
        }
        for panel in figure.axes
    }


def test_plots_have_a_panel_a_lane_with_what_was_observed_predicted_and_possible() -> None:
    bfloat16 = Throughput("torch", "bfloat16", "bfloat16", 256, 0.1, 9)
    more = measured(torch=1000.0, onnx=900.0)
    found = plot.figures(results(throughput=(*more, bfloat16)), both())
    assert list(found) == list(plot.CAPTIONS)
    speed = drawn(found["throughput.png"])
    assert speed["strict"]["torch"] == [1000]
    assert speed["strict"]["onnx-from-torch"] == [900]
    assert set(speed["strict"]["roofline"]) == {4000}
    # Of bfloat16 no matrix product was measured.
    assert speed["bfloat16"] == {"torch": [2560]}
    layers = drawn(found["layers.png"])
    on_gpu = both().rows[1].cases[0].layers
    assert layers["strict"]["torch"] == [layer.accumulated.rms_error for layer in on_gpu]
    assert [layer.accumulated.rms_predicted for layer in on_gpu] in layers["strict"].values()


def test_nothing_measured_is_no_plot() -> None:
    assert plot.figures(results(throughput=()), report()) == {}


def test_the_page_shows_its_plots_which_lie_beside_it_and_in_the_folder(tmp_path: Path) -> None:
    page, out = tmp_path / "docs" / "gpu.md", tmp_path / "out"
    page.parent.mkdir()
    page.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n")
    chosen = bench._parser().parse_args(["--out", str(out), "--markdown", str(page)])
    bench._write(results(), both(), chosen)
    for name, shown in plot.CAPTIONS.items():
        assert f"![{shown}](gpu-{name})" in page.read_text().splitlines()
        beside = (page.parent / f"gpu-{name}").read_bytes()
        assert beside.startswith(b"\x89PNG")
        assert (out / name).read_bytes() == beside


def test_without_matplotlib_the_page_has_no_plots_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    absent = {"matplotlib"}
    monkeypatch.setattr(bench, "find_spec", lambda name: None if name in absent else real(name))
    bench._write(results(), both(), bench._parser().parse_args(["--out", str(tmp_path)]))
    captured = capsys.readouterr()
    assert "plots are left out: matplotlib is not installed" in captured.err
    assert ".png" not in captured.out
    assert list(tmp_path.glob("*.png")) == []


def test_only_the_measured_part_of_the_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "cuda.md"
    page.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n")
    written = cuda_report.inserted(page, "new")
    assert written == ("before\n<!-- measured: begin -->\n\nnew\n\n<!-- measured: end -->\nafter\n")
    page.write_text("no marks")
    with pytest.raises(BadInput, match="has no place for what was measured"):
        cuda_report.inserted(page, "new")


def test_the_documentation_has_the_place() -> None:
    page = Path(__file__).parents[2] / "docs" / "measured" / "cuda.md"
    assert "\nnew\n" in cuda_report.inserted(page, "new")
