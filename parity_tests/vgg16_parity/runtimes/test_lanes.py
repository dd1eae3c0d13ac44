"""A lane is run once where another has the same settings, and there both give the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import PICTURES
from vgg16_parity import inputs, run, workspace
from vgg16_parity.judge.gradients.run import applies
from vgg16_parity.network import sgd_step
from vgg16_parity.report.table import remarks
from vgg16_parity.runtimes.job import Record
from vgg16_parity.runtimes.lanes import LANES, Device, default_is_strict, lane, port_lane
from vgg16_parity.runtimes.process import work
from vgg16_parity.runtimes.registry import RUNTIMES, own_port
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

NOTE = "taken from the strict lane, which computes the same bits here"

# One of each framework; the others' lanes change with other projects' versions alone.
AT_ONCE = ("torch", "keras-tensorflow")


def shared(*devices: Device, computed_by: str = "torch", gradients: bool = False) -> bool:
    return default_is_strict(devices, computed_by, gradients=gradients)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that the strict lane sets."""
    for name in ("DNNL_DEFAULT_FPMATH_MODE", *LANES["strict"].environment):
        monkeypatch.delenv(name, raising=False)


def test_lanes_have_a_mode_on_the_devices_that_they_exist_on() -> None:
    devices: Sequence[Device] = ("cpu", "cuda")
    modes = {
        name: [None if (mode := entry.mode(device)) is None else mode.name for device in devices]
        for name, entry in LANES.items()
    }
    assert modes == {
        "strict": ["float32", "float32"],
        "default": ["float32", "tf32"],
        "tf32": [None, "tf32"],
        "bfloat16": ["bfloat16", "bfloat16"],
        "float16": ["float16", "float16"],
    }
    with pytest.raises(BadInput, match="lane: 'fast' is unknown; expected one of strict, default"):
        lane("fast")


def test_on_a_cpu_alone_the_default_is_the_strict_lane() -> None:
    assert shared("cpu")
    assert not shared("cuda")
    assert not shared("cpu", "cuda")


def test_a_framework_that_was_not_compared_runs_every_lane() -> None:
    assert not shared("cpu", computed_by="openvino")


def test_gradients_of_tensorflow_are_the_exception() -> None:
    tensorflow = "keras on tensorflow"
    assert shared("cpu", computed_by=tensorflow)
    assert not shared("cpu", gradients=True, computed_by=tensorflow)
    assert shared("cpu", gradients=True, computed_by="keras on jax")


@pytest.mark.parametrize(
    ("variable", "value", "one"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "strict", True),
        ("DNNL_DEFAULT_FPMATH_MODE", "BF16", False),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", False),
        ("XLA_FLAGS", "--xla_gpu_autotune_level=0", True),
        ("NVIDIA_TF32_OVERRIDE", "1", True),
    ],
)
def test_a_users_variable_that_the_cpu_reads_makes_them_two(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, one: bool
) -> None:
    monkeypatch.setenv(variable, value)
    assert shared("cpu") is one


@pytest.mark.slow
@pytest.mark.parametrize("names", [("strict", "default"), ("default", "strict"), ("default",)])
def test_a_row_that_was_not_run_again_says_so(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, names: tuple[str, ...]
) -> None:
    started = []

    def counted(job: Any, **options: Any) -> Record:
        started.append(job.lane)
        return work(job, **options)

    monkeypatch.setattr(workspace, "work", counted)
    lanes = [LANES[name] for name in names]
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], lanes=lanes, depth="logits")
    rows = {row.lane: row for row in report.rows}
    assert tuple(rows) == names
    assert started == ["strict" if "strict" in names else "default"]
    default = rows["default"].record
    assert default is not None
    assert default.repeats == ""
    noted = [f"torch (default): photographs: {NOTE}"]
    said = [remark for remark in remarks(report) if "the inputs exercise" not in remark]
    if "strict" not in names:
        assert said == []
        return
    assert said == noted
    strict = rows["strict"].record
    assert strict is not None
    assert (strict.repeats, strict.versions) == ("equal", default.versions)
    assert strict.seconds
    assert (default.seconds, default.flags, default.peak_bytes) == ({}, {}, 0)
    assert rows["default"].cases[0].layers == rows["strict"].cases[0].layers


def test_a_lane_that_fails_is_no_other_lanes_result(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    def work(job: Any, **_: Any) -> Record:
        return Record(error=f"no {job.lane}")

    assert own_port(f"{__file__}:run").computed_by != "torch"

    monkeypatch.setattr(workspace, "work", work)
    lanes = [LANES["default"], LANES["strict"]]
    report = run.run_parity(tiny, PICTURES, [RUNTIMES["torch"]], lanes=lanes, depth="logits")
    assert [(row.lane, row.reason) for row in report.rows] == [
        ("default", "no default"),
        ("strict", "no strict"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in AT_ONCE else pytest.mark.weekly) for n in RUNTIMES],
)
def test_lanes_that_share_a_run_give_the_same_bits(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    runtime = RUNTIMES[name]
    if reason := runtime.missing():
        pytest.skip(reason)
    place = workspace.Workspace(tiny, tmp_path, None, lambda _: nullcontext())
    case = inputs.pictures(tiny, PICTURES)
    (expected,) = place.expect([case], [MODES["float32"]], logits_only=False)
    np.save(expected.folder / f"{sgd_step.LABELS}.npy", sgd_step.labels(expected))
    found = []
    for which in ("strict", "default"):
        job, record = place.run(runtime, LANES[which], "cpu", [expected.folder], "layers")
        assert not record.error
        assert record.repeats == ("equal" if which == "strict" else "")
        folders = [job.folder]
        shares = shared("cpu", computed_by=runtime.computed_by, gradients=True)
        if applies(runtime, MODES["float32"]) and shares:
            folders.append(f"{job.folder}-gradients")
            backward = dataclasses.replace(job, task="gradients", folder=folders[1])
            assert not work(backward).error
        found.append(
            {
                (path.parent.name, path.name): path.read_bytes()
                for folder in folders
                for path in Path(folder).glob("*/*.npy")
            }
        )
    strict, default = found
    assert {result for result, _ in strict} >= {"case0.accumulated", "case0.local"}
    assert set(strict) == set(default)
    assert [file for file in strict if strict[file] != default[file]] == []


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_port_has_one_lane_on_every_device(device: Device) -> None:
    named = [LANES[name] for name in ("bfloat16", "tf32", "default", "strict")]
    for mode in MODES:
        lane = port_lane(mode, named)
        assert lane.name == ("default" if mode == "float32" else mode)
        assert lane.mode(device) == MODES[mode]
    assert port_lane("float32", named[:2]).name == "strict"
    assert port_lane("float32", [LANES["strict"], LANES["default"]]).name == "strict"


def test_a_mode_of_fewer_bits_is_not_ruled_out_by_a_ports_environment() -> None:
    for mode in ("tf32", "bfloat16", "float16"):
        lane = port_lane(mode, [LANES["strict"]])
        assert lane.environment == {}
        assert lane.environment == LANES[lane.name].environment  # which a worker reads by its name
