"""A whole run: every runtime on the same inputs, judged, in one report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mistakes import unseen
from parity_tests.support.helpers import PICTURES
from parity_tests.support.weights.changed import with_value
from vgg16_parity import inputs, run, workspace
from vgg16_parity.report.json import to_json
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.slow


def handed(monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, folder: Path) -> None:
    """Have the workers read this checkpoint instead of the one that the arbiter reads."""
    path = write_checkpoint(checkpoint, folder / "changed.safetensors").path
    real = process.work

    def work(job: Job, **options: Any) -> Record:
        return real(dataclasses.replace(job, checkpoint=str(path)), **options)

    monkeypatch.setattr(workspace, "work", work)


def changed(checkpoint: Checkpoint, tensor: str) -> Checkpoint:
    """The checkpoint with one value of a bias off by a thousandth."""
    return with_value(checkpoint, tensor, 1, checkpoint[tensor][1] + np.float32(1e-3))


@pytest.mark.parametrize("name", ["torch", "keras-tensorflow", "onnx-from-torch"])
def test_a_weight_that_differs_breaks_parity_at_its_layer(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    handed(monkeypatch, changed(tiny, "block3_conv2.bias"), tmp_path)
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES[name]]).rows
    assert row.status == "broken"
    assert row.first_wrong == "block3_conv2"
    assert row.reason.startswith("block3_conv2, given the arbiter's input: photographs: errors are")
    wrong = [layer.tap for layer in row.cases[0].layers if layer.local and not layer.local.passed]
    assert wrong == ["block3_conv2"]
    spread = [layer.tap for layer in row.cases[0].layers if not layer.accumulated.passed]
    taps = list(tiny.configuration.taps)
    assert spread == taps[taps.index("block3_conv2") :]


def test_a_weight_that_no_photograph_shows_breaks_parity_at_its_layer(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    images = inputs.pictures(tiny, PICTURES).images
    darkened = write_checkpoint(unseen.with_dark_units(tiny, images), tmp_path / "dark.safetensors")
    changed, layer = unseen.planted(darkened, "one weight of a dark unit is zeroed", "block3_conv1")
    handed(monkeypatch, changed, tmp_path)
    chosen = [RUNTIMES[name] for name in ("keras-tensorflow", "onnx-from-torch")]
    rows = run.run_parity(darkened, PICTURES, chosen).rows
    assert [(row.status, row.first_wrong) for row in rows] == [("broken", layer)] * 2
    for row in rows:
        assert row.reason.startswith(f"{layer}, given a dense input: errors are")
        assert all(verdict.passed for _, verdict in row.verdicts("local"))
        assert [probe.layer for probe in row.probes] == list(tiny.configuration.taps)


def test_without_layers_alone_the_first_tap_that_is_off_is_named(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    handed(monkeypatch, changed(tiny, "block3_conv2.bias"), tmp_path)
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], depth="taps").rows
    assert row.reason.startswith("from block3_conv2 on: photographs: errors are")
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], depth="logits").rows
    assert row.reason.startswith("from predictions on: photographs: errors are")


def test_every_lane_is_a_row(tiny: Checkpoint) -> None:
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], lanes=list(LANES.values()))
    assert [(row.lane, row.mode, row.status) for row in report.rows] == [
        ("strict", "float32", "holds"),
        ("default", "float32", "holds"),
        ("tf32", "", "not run"),
        ("bfloat16", "bfloat16", "holds"),
        ("float16", "float16", "holds"),
    ]


def test_a_precision_that_a_runtime_lacks_is_a_row_that_was_not_run(tiny: Checkpoint) -> None:
    lanes = [LANES["bfloat16"]]
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["onnx-from-torch"]], lanes=lanes).rows
    assert (row.status, row.reason) == (
        "not run",
        "ONNX Runtime has no convolution in bfloat16",
    )


def test_inputs_that_can_hurt_hold_and_what_becomes_of_nan_is_told(tiny: Checkpoint) -> None:
    chosen = [RUNTIMES["torch"], RUNTIMES["keras-tensorflow"]]
    report = run.run_parity(tiny, PICTURES, chosen, hard_inputs=True)
    torch, tensorflow = report.rows
    assert report.holds
    assert [case.case for case in torch.cases] == [
        "photographs",
        "noise",
        "constants",
        "one pixel",
        "checkerboards",
        "denormals",
        "large",
        "NaN",
        "infinity",
    ]
    assert [len(facts.images) for facts in report.cases] == [2, 5, 5, 2, 2, 1, 2, 1, 1]
    assert not any(case.notes for case in torch.cases)
    # TensorFlow's ReLU on the CPU takes the larger of NaN and zero for zero.
    (note,) = next(case.notes for case in tensorflow.cases if case.case == "NaN")
    assert note == "one NaN: disappears at block1_conv1, the logits are finite"
    json.dumps(to_json(report), allow_nan=False)


def test_what_a_mode_cannot_hold_is_told_and_not_compared(tiny: Checkpoint) -> None:
    lanes = [LANES["float16"]]
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], lanes=lanes, hard_inputs=True).rows
    assert row.status == "holds", row.reason
    (note,) = next(case.notes for case in row.cases if case.case == "large")
    assert note.endswith("beyond float16: not compared")


def test_a_checkpoint_that_is_in_no_file_can_be_run(tiny: Checkpoint) -> None:
    report = run.run_parity(generate(tiny.configuration), PICTURES[:1], [RUNTIMES["torch"]])
    assert report.holds
    assert report.weights.sha256 == ""


def test_the_report_tells_the_images_and_their_classes(tiny: Checkpoint) -> None:
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], depth="logits")
    (facts,) = report.cases
    assert [image.label for image in facts.images] == [path.name for path in PICTURES]
    decisions = report.rows[0].cases[0].decisions
    assert [image.top5 for image in facts.images] == [entry.arbiter_top5 for entry in decisions]
    assert all(len(image.sha256) == 64 for image in facts.images)


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


def test_pictures_beyond_what_a_mode_can_hold_do_not_pass(tiny: Checkpoint) -> None:
    name = "block1_conv1.weight"
    large = tiny.with_tensors({name: tiny[name] * np.float32(1e5)})
    lanes = [LANES["float16"]]
    (row,) = run.run_parity(large, PICTURES, [RUNTIMES["torch"]], lanes=lanes).rows
    assert row.status == "broken"
    assert row.reason.endswith("beyond float16: not compared")


def test_logits_behind_an_overflow_are_no_false_alarm(tiny: Checkpoint) -> None:
    options: dict[str, Any] = {"lanes": [LANES["float16"]], "hard_inputs": True}
    (row,) = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], depth="logits", **options).rows
    assert row.status == "holds", row.reason


def test_a_lane_that_the_device_lacks_is_a_row_that_was_not_run(tiny: Checkpoint) -> None:
    lanes = [LANES["strict"], LANES["tf32"]]
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], lanes=lanes, depth="logits")
    assert [(row.lane, row.status, row.reason) for row in report.rows] == [
        ("strict", "holds", ""),
        ("tf32", "not run", "there is no such lane on cpu"),
    ]


def test_gradients_of_what_has_none_are_refused(tiny: Checkpoint) -> None:
    with pytest.raises(BadInput, match="gradients: onnx-from-torch has none here; expected a"):
        run.run_parity(tiny, PICTURES, [RUNTIMES["onnx-from-torch"]], gradients=True)
