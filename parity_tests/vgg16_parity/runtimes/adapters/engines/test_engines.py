"""Other engines compute the network; whoever crashes or hangs is a row."""

from __future__ import annotations

import dataclasses
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import PICTURES
from parity_tests.support.tolerances import DIRECT_SUMS, FLOAT32_TAPS
from parity_tests.support.weights.changed import with_value
from vgg16_parity import inputs, run, workspace
from vgg16_parity.records import Report, Row
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES, default_is_strict
from vgg16_parity.runtimes.process import work
from vgg16_parity.runtimes.registry import ENGINES, RUNTIMES, Runtime
from vgg16_spec.checkpoint import Checkpoint, write_checkpoint

pytestmark = pytest.mark.slow

DIRECT = ["opencv", "opencv-direct", "openvino", "litert", "keras-openvino"]
WINOGRAD = ["opencv-winograd", "ncnn", "mnn"]
# Those whose default is float32 arithmetic of the same bits.
SHARING = ["opencv", "opencv-winograd", "opencv-direct", "mnn", "litert"]


def installed(names: list[str]) -> list[Runtime]:
    return [ENGINES[name] for name in names if not ENGINES[name].missing()]


def engine(name: str) -> Runtime:
    if reason := ENGINES[name].missing():
        pytest.skip(reason)
    return ENGINES[name]


@pytest.fixture(scope="module")
def report(tiny: Checkpoint) -> Report:
    """Every engine that is installed, in its float32 and as it comes."""
    lanes = [LANES["strict"], LANES["default"]]
    return run.run_parity(tiny, PICTURES, installed([*ENGINES]), lanes=lanes)


def row_of(report: Report, name: str, lane: str) -> Row:
    engine(name)
    return next(row for row in report.rows if (row.runtime, row.lane) == (name, lane))


@pytest.mark.parametrize("name", DIRECT)
def test_engines_that_sum_directly_hold(report: Report, name: str) -> None:
    row = row_of(report, name, "strict")
    assert (row.status, row.mode, row.reason) == ("holds", "float32", "")
    for kind in ("accumulated", "local"):
        worst = row.worst(kind)
        assert len(worst) == len(report.rows[0].cases[0].layers)
        assert max(ratio for ratio, _ in worst.values()) <= DIRECT_SUMS.limit
    assert row.record is not None
    assert row.record.repeats == "equal"


@pytest.mark.parametrize("name", WINOGRAD)
def test_engines_that_compute_by_winograd_hold(report: Report, name: str) -> None:
    row = row_of(report, name, "strict")
    assert (row.status, row.mode, row.reason) == ("holds", "float32", "")


@pytest.mark.parametrize("name", [name for name in ENGINES if name not in SHARING])
def test_an_engine_out_of_float32_is_judged_by_its_own_mode(report: Report, name: str) -> None:
    strict, default = (row_of(report, name, lane) for lane in ("strict", "default"))
    assert (default.status, default.reason) == ("holds", "")
    assert strict.record is not None
    assert default.record is not None
    assert strict.record.own_mode == ""
    notes = [note for case in default.cases for note in case.notes if "judged" in note]
    if default.record.own_mode:
        assert default.mode == default.record.own_mode != strict.mode
        assert notes == [f"the runtime chose {default.mode}, by which it is judged"]
    else:
        # A processor that does not multiply fewer bits.
        assert (default.mode, notes) == ("float32", [])


def test_records_have_versions_and_flags(report: Report) -> None:
    for row in report.rows:
        assert row.record is not None
        runtime = ENGINES[row.runtime]
        named = {name.lower() for name in row.record.versions}
        module = runtime.engine or "openvino"
        assert any(module in name or module in name.replace("-", "") for name in named), named
        if row.record.seconds:
            assert row.record.flags, row.name


@pytest.fixture(scope="module")
def place(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("engines")
    found = workspace.Workspace(tiny, folder, None, lambda _: nullcontext())
    case = inputs.pictures(tiny, PICTURES)
    (expected,) = found.expect([case], [MODES["float32"]], logits_only=False)
    return found, expected


@pytest.mark.parametrize("name", SHARING)
def test_lanes_that_share_a_run_give_the_same_bits_and_right_layers(place: Any, name: str) -> None:
    made, expected = place
    runtime = engine(name)
    assert default_is_strict(["cpu"], runtime.computed_by, gradients=False)
    found = []
    for lane in ("strict", "default"):
        job, record = made.run(runtime, LANES[lane], "cpu", [expected.folder], "layers")
        assert record.error == ""
        files = sorted(Path(job.folder).glob("case0.*/*.npy"))
        found.append({(file.parent.name, file.name): file.read_bytes() for file in files})
        for kind in ("accumulated", "local"):
            taps = job.result(str(expected.folder), kind)
            assert list(taps) == list(expected.relus)
            for tap, values in taps.items():
                wanted = expected.tap(tap, MODES["float32"])
                exact = np.array(wanted.preactivation)
                exact = np.maximum(exact, 0) if wanted.relu else exact
                error = np.abs(values - exact).max() / np.abs(exact).max()
                assert error < FLOAT32_TAPS.limit, (kind, tap)
    assert found[0] == found[1]


def test_a_changed_bias_is_found_in_every_engine(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    bias = tiny["block3_conv2.bias"][1]
    changed = with_value(tiny, "block3_conv2.bias", 1, bias + np.float32(1e-3))
    path = write_checkpoint(changed, tmp_path / "changed.safetensors").path

    def handed(job: Job, **options: Any) -> Record:
        return work(dataclasses.replace(job, checkpoint=str(path)), **options)

    monkeypatch.setattr(workspace, "work", handed)
    chosen = installed(DIRECT)
    report = run.run_parity(tiny, PICTURES, chosen)
    named = {row.runtime: (row.status, row.first_wrong) for row in report.rows}
    assert named == {runtime.name: ("broken", "block3_conv2") for runtime in chosen}


def in_place_of(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, code: str) -> None:
    """Have workers import a module of this code."""
    (folder / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)


def test_an_engine_that_crashes_is_a_row_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    crash = "import faulthandler\nprint('loading', flush=True)\nfaulthandler._sigsegv()\n"
    in_place_of(monkeypatch, tmp_path, "ncnn", crash)
    chosen = [ENGINES["ncnn"], RUNTIMES["torch"]]
    report = run.run_parity(tiny, PICTURES[:1], chosen, depth="logits")
    ncnn, torch = report.rows
    assert (ncnn.status, ncnn.reason) == ("failed", "the worker was killed by signal 11: loading")
    assert torch.status == "holds"
    assert not report.holds


def test_an_engine_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place_of(monkeypatch, tmp_path, "ncnn", "import time\ntime.sleep(600)\n")
    job = Job("run", ENGINES["ncnn"], "strict", "none", str(tmp_path / "job"))
    assert work(job, timeout=3).error == "the worker was stopped after 3 s"
