"""What `benchmarks.cuda` makes of its figures: the targets, the page, the plots."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cuda import output, page, plot
from benchmarks.cuda.output import Output, inserted
from benchmarks.cuda.results import Results, Throughput, parity_targets, speed_targets
from onnx_arbiter.limits import LIMITS
from parity_tests.support.pages.reports import both, everything, report, row, verdict
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.errors import BadInput


def measured(**rates: float) -> list[Throughput]:
    """A second's images of runtimes, at batch 32 in the strict lane."""
    names = {"torch": "torch", "keras": "onnx-from-keras", "onnx": "onnx-from-torch"}
    return [Throughput(names[n], "strict", "float32", 32, 32 / r, 9) for n, r in rates.items()]


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [(100.0, "met"), (81.0, "met"), (79.0, "missed"), (124.0, "met"), (126.0, "missed")],
)
def test_onnx_runtime_and_pytorch_are_within_a_quarter(rate: float, verdict: str) -> None:
    (target,) = speed_targets(measured(torch=100.0, onnx=rate))
    assert target.verdict == verdict
    assert target.name.startswith("onnx-from-torch, strict, batch 32")
    assert target.measured == pytest.approx(rate / 100)


def test_a_target_without_figures_is_not_measured() -> None:
    for found in (measured(torch=100.0), measured(onnx=9.0, keras=9.0)):
        assert [target.verdict for target in speed_targets(found)] == ["not measured"]
    assert [target.verdict for target in parity_targets(report())] == ["not measured"] * 2
    not_run = row(device="cuda", status="not run", reason="no GPU", cases=(), record=None)
    targets = parity_targets(report(not_run, device="both"))
    assert [target.note for target in targets] == ["not run: no GPU"] * 2


@pytest.mark.parametrize(
    ("ratio", "deviations", "verdicts"),
    [
        (0.5, 4.0, ["met", "met"]),
        (1.01 * LIMITS.ratio.limit, 4.0, ["missed", "met"]),
        (0.5, 1.01 * LIMITS.deviations.limit, ["met", "missed"]),
    ],
)
def test_the_strict_lane_on_the_gpu_is_held_to_both_limits(
    ratio: float, deviations: float, verdicts: list[str]
) -> None:
    pair = both()
    case = pair.rows[1].cases[0]
    layers = (replace(case.layers[0], local=verdict(ratio, deviations)), *case.layers[1:])
    on_gpu = replace(pair.rows[1], cases=(replace(case, layers=layers),))
    targets = parity_targets(replace(pair, rows=(pair.rows[0], on_gpu)))
    assert [target.verdict for target in targets] == verdicts


def results(**changes: Any) -> Results:
    facts: dict[str, Any] = {
        "configuration": "D",
        "device": "cuda",
        "facts": {"card": "a GPU", "date": "2026-11-24"},
        "operations": 4_000_000_000,
        "report": both(),
        "rates": {"float32": 16e12},
        "throughput": [
            *measured(torch=1000.0, keras=1300.0),
            Throughput("onnx-from-torch", "strict", "float32", 256, reason="out | of memory"),
        ],
    }
    return Results(**facts | changes)


def test_the_page_begins_with_the_targets_and_ends_with_how_it_was_measured() -> None:
    text = page.markdown(results(), "python -m benchmarks.cuda", {})
    assert text.startswith("### Targets\n")
    _, end = text.split("### How this was measured\n")
    assert "python -m benchmarks.cuda" in end
    assert end.endswith("- card: a GPU\n- date: 2026-11-24\n")


def test_throughput_stands_beside_the_roofline() -> None:
    lines = page.markdown(results(), "", {}).splitlines()
    assert "| float32 | 16 | 4000 |" in lines
    assert "| torch | strict | 32 | 1000 | 25% |  |" in lines
    assert "| onnx-from-torch | strict | 256 |  |  | out \\| of memory |" in lines
    target = "onnx-from-keras, strict, batch 32: images per second over PyTorch's"
    assert f"| {target} | 1.300 | 0.800 to 1.250 | **missed** |" in lines
    assert (
        "| torch | strict, cuda | holds | 0.75 | 5.0 | 1.0e-05 | 1/1 | differs | 0.60, 4.5 |  |"
        in lines
    )


def test_infinite_figures_are_no_json_and_missed() -> None:
    wrong = replace(everything(), device="cpu")
    document = results(report=wrong, device="cpu").document()
    assert json.dumps(document, allow_nan=False)
    assert "missed" in [target["verdict"] for target in document["targets"]]


def test_rows_of_every_kind_have_a_line() -> None:
    lines = page.markdown(results(report=everything()), "", {}).splitlines()
    assert (
        "| onnx-from-torch | strict | not run |  |  |  |  |  |  | onnxruntime is not installed |"
        in lines
    )


def test_a_row_whose_case_was_not_compared_is_no_figure() -> None:
    beyond = CaseVerdict("photographs", (), (), "block5_pool reaches 1e+05, beyond float16")
    broken = report(row(status="broken", reason=beyond.reason, cases=(beyond,), device="cpu"))
    for target in parity_targets(broken):
        assert (target.verdict, target.note) == ("not measured", f"broken: {beyond.reason}")
    found = results(device="cpu", report=broken)
    assert beyond.reason in page.markdown(found, "", {})
    assert list(plot.figures(found)) == ["throughput.png"]


def drawn(figure: Any) -> dict[str, dict[str, list[float]]]:
    """A panel's title -> a line's label -> its values."""
    return {
        panel.get_title(loc="left").partition(":")[0]: {
            line.get_label(): [float(value) for value in line.get_ydata()]
            for line in panel.get_lines()
        }
        for panel in figure.axes
    }


def test_plots_have_one_panel_per_lane_with_observed_predicted_and_possible_values() -> None:
    bfloat16 = Throughput("torch", "bfloat16", "bfloat16", 256, 0.1, 9)
    more = measured(torch=1000.0, onnx=900.0)
    found = plot.figures(results(throughput=[*more, bfloat16]))
    assert list(found) == list(plot.CAPTIONS)
    speed = drawn(found["throughput.png"])
    assert speed["strict"]["torch"] == [1000]
    assert speed["strict"]["onnx-from-torch"] == [900]
    assert set(speed["strict"]["roofline"]) == {4000}
    # No matrix product was measured in bfloat16.
    assert speed["bfloat16"] == {"torch": [2560]}
    layers = drawn(found["layers.png"])
    on_gpu = both().rows[1].cases[0].layers
    assert layers["strict"]["torch"] == [layer.accumulated.rms_error for layer in on_gpu]
    assert [layer.accumulated.rms_predicted for layer in on_gpu] in layers["strict"].values()


def test_lines_on_top_of_one_another_all_show() -> None:
    found = plot.figures(results(throughput=measured(torch=1000.0, keras=1000.0, onnx=1000.0)))
    lines = found["throughput.png"].axes[0].get_lines()
    widths = [line.get_linewidth() for line in lines if line.get_label() != "roofline"]
    assert len(widths) == 3
    assert widths == sorted(set(widths), reverse=True)


def test_nothing_measured_is_no_plot() -> None:
    assert plot.figures(results(throughput=[], report=report())) == {}


def test_the_page_shows_its_plots_which_lie_beside_it_and_in_the_folder(tmp_path: Path) -> None:
    document, out = tmp_path / "docs" / "gpu.md", tmp_path / "out"
    document.parent.mkdir()
    document.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n")
    Output(out, document, "").publish(results(), draw=True)
    for name, shown in plot.CAPTIONS.items():
        assert f"![{shown}](gpu-{name})" in document.read_text().splitlines()
        assert f"![{shown}]({name})" in (out / "cuda.md").read_text().splitlines()
        beside = (document.parent / f"gpu-{name}").read_bytes()
        assert beside.startswith(b"\x89PNG")
        assert (out / name).read_bytes() == beside


def test_without_matplotlib_the_page_has_no_plots_and_stderr_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    absent = {"matplotlib"}
    monkeypatch.setattr(output, "find_spec", lambda name: None if name in absent else real(name))
    text = Output(tmp_path, None, "").publish(results(), draw=True)
    assert "plots are left out: matplotlib is not installed" in capsys.readouterr().err
    assert ".png" not in text
    assert list(tmp_path.glob("*.png")) == []


def test_only_the_measured_part_of_the_page_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "cuda.md"
    document.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n")
    assert inserted(document, "new") == (
        "before\n<!-- measured: begin -->\n\nnew\n\n<!-- measured: end -->\nafter\n"
    )
    document.write_text("no marks")
    with pytest.raises(BadInput, match="has no measured part"):
        inserted(document, "new")


def test_the_documentation_has_the_place() -> None:
    (document,) = (Path(__file__).parents[2] / "docs").rglob("cuda.md")
    assert "\nnew\n" in inserted(document, "new")
