"""A run on the GPU is compared with the CPU's by the errors of both, and reported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.compare import compare_runs
from parity_tests.support.arithmetic.convolutions import matrices
from parity_tests.support.arithmetic.simulated_engines import network
from parity_tests.support.helpers import PICTURES, Command
from parity_tests.support.pages.reports import both, report, row
from vgg16_parity import run, workspace
from vgg16_parity.judge import alternatives, layers
from vgg16_parity.judge.gradients import run as gradients
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.records import Report
from vgg16_parity.report import html, schema
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.json import Document, to_json
from vgg16_parity.report.junit import junit
from vgg16_parity.report.table import remarks, summary, table
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint, Tensor, write_checkpoint

pytestmark = pytest.mark.slow


def gpu(monkeypatch: pytest.MonkeyPatch, checkpoint: Path | None = None) -> None:
    """Use the CPU in place of the GPU, with other weights if they are given."""
    real = process.work

    def work(job: Any, **options: Any) -> Record:
        if job.device == "cuda":
            job = dataclasses.replace(job, device="cpu")
            if checkpoint is not None:
                job = dataclasses.replace(job, checkpoint=str(checkpoint))
        return real(job, **options)

    monkeypatch.setattr(workspace, "work", work)
    monkeypatch.setattr(gradients, "work", work)


def two(checkpoint: Checkpoint, **options: Any) -> Report:
    return run.run_parity(checkpoint, PICTURES, [RUNTIMES["torch"]], device="both", **options)


def test_each_device_is_a_row_and_the_second_is_beside_the_first(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    gpu(monkeypatch)
    lanes = [LANES["strict"], LANES["tf32"], LANES["default"]]
    made = two(tiny, lanes=lanes)
    assert [(row.name, row.mode, row.status, bool(row.beside_cpu)) for row in made.rows] == [
        ("torch (strict)", "float32", "holds", False),
        ("torch (strict, cuda)", "float32", "holds", True),
        ("torch (tf32)", "", "not run", False),
        ("torch (tf32, cuda)", "tf32", "holds", False),
        ("torch (default)", "float32", "holds", False),
        ("torch (default, cuda)", "tf32", "holds", True),
    ]
    (case,) = made.rows[1].beside_cpu
    assert [layer.tap for layer in case.layers] == list(tiny.configuration.taps)
    # The same processor twice, in the lane that gives the same bits.
    assert all(layer.accumulated.max_error == 0 for layer in case.layers)
    assert all(layer.local is not None and layer.local.passed for layer in case.layers)


def test_a_gpu_that_differs_is_found_at_its_layer(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    tensors = {name: Tensor.of(np.array(tiny[name])) for name in tiny}
    tensors["block3_conv2.bias"].read()[1] += 1e-3
    changed = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    gpu(monkeypatch, write_checkpoint(changed, tmp_path / "changed.safetensors").path)
    cpu, on_gpu = two(tiny).rows
    assert (cpu.status, on_gpu.status) == ("holds", "broken")
    assert on_gpu.first_wrong == "block3_conv2"
    local = [e.tap for e in on_gpu.beside_cpu[0].layers if e.local and not e.local.passed]
    assert local == ["block3_conv2"]
    accumulated = [e.tap for e in on_gpu.beside_cpu[0].layers if not e.accumulated.passed]
    taps = list(tiny.configuration.taps)
    assert accumulated == taps[taps.index("block3_conv2") :]


def move_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add 1 to every value of the GPU before it is compared with the CPU's."""
    real = compare_runs

    def moved(ours: Any, theirs: Any, *others: Any, **options: Any) -> Any:
        return real(ours + 1, theirs, *others, **options)

    monkeypatch.setattr(layers, "compare_runs", moved)


def test_two_that_hold_and_differ_by_too_much_are_broken(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    gpu(monkeypatch)
    move_gpu(monkeypatch)
    _, row = two(tiny, depth="taps").rows
    assert (row.status, row.first_wrong) == ("broken", "block1_conv1")
    assert row.reason.startswith("block1_conv1 beside the CPU's: photographs: errors are")


def test_a_gpu_that_computes_by_winograd_is_compared_by_that_error(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    real = Job.result

    def result(job: Any, folder: str, kind: Any) -> Any:
        found = real(job, folder, kind)
        if job.device == "cpu" or kind == "local":
            return found if kind != "local" else {}
        images = np.load(Path(folder) / "images.npy")
        return dict(network(tiny, images, matrices(WINOGRAD[-1])))

    monkeypatch.setattr(Job, "result", result)
    monkeypatch.setattr(workspace, "work", _on_cpu(process.work))
    cpu, on_gpu = two(tiny, depth="taps").rows
    assert (cpu.status, on_gpu.status) == ("holds", "holds")
    assert "as by Winograd F(6×6, points 0, ±1, ±2, ±3)" in on_gpu.cases[0].notes[0]
    assert max(verdict.ratio for _, verdict in on_gpu.verdicts("beside cpu")) < 1


def _on_cpu(work: Any) -> Any:
    def on_cpu(job: Any, **options: Any) -> Record:
        record: Record = work(dataclasses.replace(job, device="cpu"), **options)
        return record

    return on_cpu


def test_a_wrong_cpu_is_reported_and_does_not_break_the_gpu(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    gpu(monkeypatch)
    move_gpu(monkeypatch)
    real, judged = alternatives.judge_cases, list[tuple[CaseVerdict, ...]]()

    def judge_cases(*arguments: Any) -> tuple[tuple[CaseVerdict, ...], dict[str, Arithmetic]]:
        cases, assumed = real(*arguments)
        if not judged:  # the CPU's comes first
            cases = tuple(dataclasses.replace(case, reason="wrong") for case in cases)
        judged.append(cases)
        return cases, assumed

    monkeypatch.setattr(workspace, "judge_cases", judge_cases)
    cpu, on_gpu = two(tiny, depth="taps").rows
    assert (cpu.status, on_gpu.status) == ("broken", "holds")
    assert not on_gpu.beside_cpu[0].layers[0].accumulated.passed


@pytest.mark.parametrize("named", [False, True])
def test_both_devices_are_not_shown_by_the_cpu_alone(named: bool) -> None:
    cpu = row(device="cpu")
    on_gpu = row(device="cuda", status="not run", reason="no GPU", cases=(), record=None)
    made = report(cpu, on_gpu, device="both", all_required=named)
    assert not made.holds
    assert summary(made) == "Parity is not shown: torch (strict, cuda) did not run."
    # One that was not asked for by name may be missing where another was run there.
    assert report(cpu, on_gpu, row("keras-jax", device="cuda"), device="both").holds


def test_a_lane_that_one_device_lacks_is_not_missed_where_both_are_asked_for() -> None:
    none = row(lane="tf32", device="cpu", status="not run", cases=(), record=None)
    lacking = dataclasses.replace(none, mode="")
    on_gpu = row(lane="tf32", device="cuda")
    made = report(lacking, on_gpu, device="both", all_required=True)
    assert made.holds
    assert [suite.skipped for suite in junit(made)] == [1, 0]
    # Asked for on that device alone, it is.
    assert not report(lacking, device="cpu", all_required=True).holds


def test_a_device_that_failed_is_beside_nothing(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    gpu(monkeypatch, tmp_path / "none.safetensors")
    cpu, on_gpu = two(tiny, depth="logits").rows
    assert (cpu.status, on_gpu.status, on_gpu.beside_cpu) == ("holds", "failed", ())


def test_hard_inputs_and_gradients_go_with_both(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    gpu(monkeypatch)
    cpu, on_gpu = two(tiny, hard_inputs=True, gradients=True).rows
    assert cpu.gradients
    assert on_gpu.gradients
    finite = [case.case for case in on_gpu.cases if case.layers]
    assert [case.case for case in on_gpu.beside_cpu] == finite


def test_the_document_is_as_the_schema_has_it() -> None:
    document = to_json(both())
    validator = Draft202012Validator(schema.schema())
    assert list(validator.iter_errors(document)) == []
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    for path in (("rows", 1), ("rows", 1, "record"), ("rows", 1, "beside_cpu", 0)):
        broken: Any = (copied := json.loads(json.dumps(document)))
        for step in path:
            broken = broken[step]
        broken["undocumented"] = 1
        assert list(validator.iter_errors(copied))


def test_table_and_remarks_tell_the_devices_apart() -> None:
    assert [line[:3] for line in table(both())] == [
        ("torch", "holds", "strict"),
        ("torch", "holds", "strict, cuda"),
    ]
    assert remarks(both()) == [
        "torch (strict, cuda): a second run gave other bits from block3_conv2 on",
        "torch (strict, cuda): difference from the CPU: R 0.60 and Z 4.50 of what is predicted",
    ]


def test_the_page_shows_both_and_their_difference() -> None:
    page = html.page(both())
    assert "<h3>strict <" in page
    assert "<h3>strict, cuda <" in page
    assert page.count("Beside the CPU, strict, cuda") >= 1
    assert "Beside the CPU, strict <" not in page
    assert "run twice: the same bits" in page
    assert "run twice: other bits from block3_conv2 on" in page


def test_junit_has_a_suite_for_each_device_and_the_difference_as_tests() -> None:
    cpu, on_gpu = junit(both())
    assert (cpu.name, on_gpu.name) == ("torch (strict)", "torch (strict, cuda)")
    assert {test.classname for test in on_gpu} == {"torch.strict, cuda.photographs"}
    names = [test.name for test in on_gpu]
    assert "block1_conv1 beside cpu" in names
    assert "block1_conv1 alone beside cpu" in names
    assert not any("beside" in test.name for test in cpu)
    found: Any = on_gpu
    properties = {each.name: each.value for each in found.properties()}
    assert properties["repeats"] == "differs"


def test_a_report_of_both_tells_which_device_moved() -> None:
    older, newer = to_json(both()), to_json(both())
    newer["rows"][1]["cases"][0]["layers"][0]["accumulated"]["ratio"] *= 3
    newer["rows"][0]["record"]["repeats"] = "differs"
    moves = diff_reports(*(schema.decode(Document, each) for each in (older, newer)))
    assert list(map(str, moves)) == [
        "torch (strict, cpu): repeats: equal → differs",
        "torch (strict, cuda): block1_conv1, accumulated ratio: 0.75 → 2.25",
    ]


def test_a_report_of_the_gpu_can_be_held_against_one_of_the_cpu() -> None:
    cpu, on_gpu = (Document.of(report(row(device=each), device=each)) for each in ("cpu", "cuda"))
    assert list(map(str, diff_reports(cpu, on_gpu))) == ["run: device: cpu → cuda"]


def test_the_command_line_takes_both(vgg16: Command) -> None:
    arguments = ("--configuration", "tiny", "--runtimes", "torch", "--quick", "--json")
    done = vgg16("parity", *arguments, "--device", "both")
    rows = json.loads(done.out)["rows"]
    assert [row["device"] for row in rows] == ["cpu", "cuda"]
    refused = vgg16("parity", *arguments, "--device", "gpu")
    assert refused.status == 2
    assert "--device: 'gpu' is unknown; expected one of cpu, cuda, both" in refused.err
