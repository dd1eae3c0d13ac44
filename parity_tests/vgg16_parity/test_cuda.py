"""Parity on an NVIDIA GPU, in every lane, beside the CPU and twice."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from parity_tests.support.cuda import reason_to_skip, skip
from parity_tests.support.helpers import PICTURES
from parity_tests.support.tolerances import TF32_ABOVE_FLOAT32
from vgg16_parity import run
from vgg16_parity.records import Report
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint


@pytest.mark.cuda
@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("configuration", ["tiny", pytest.param("full", marks=pytest.mark.full)])
def test_parity_holds_on_the_gpu(
    name: str, configuration: str, request: pytest.FixtureRequest
) -> None:
    runtime = RUNTIMES[name]
    if reason := runtime.missing("cuda"):
        pytest.skip(reason)
    checkpoint = request.getfixturevalue(configuration)
    (row,) = run.run_parity(checkpoint, PICTURES, [runtime], device="cuda").rows
    if name == "keras-tensorflow" and row.status == "not run":
        # TensorFlow's wheel finds a GPU only where its own CUDA packages are installed too.
        pytest.skip(row.reason)
    assert row.status == "holds", row.reason


def on_gpu(checkpoint: Checkpoint, name: str, **options: Any) -> Report:
    """A report of one runtime with the GPU in it; skips where its packages or the GPU are not.

    Where a GPU is required, only TensorFlow may be without, whose wheel wants CUDA packages of its
    own, and ONNX Runtime in bfloat16, which it does not have.
    """
    runtime = RUNTIMES[name]
    if reason := runtime.missing("cuda"):
        pytest.skip(reason)
    report = run.run_parity(checkpoint, PICTURES, [runtime], **options)
    for row in report.rows:
        if row.status == "not run" and row.record is not None and row.record.unavailable:
            if name == "keras-tensorflow" or (runtime.onnx and row.lane == "bfloat16"):
                pytest.skip(row.reason)
            skip(row.reason)
    return report


@pytest.mark.cuda
@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("lane", ["default", "tf32", "bfloat16", "float16"])
def test_every_lane_holds_in_its_own_mode(name: str, lane: str, tiny: Checkpoint) -> None:
    (row,) = on_gpu(tiny, name, lanes=[LANES[lane]], device="cuda").rows
    assert row.mode == LANES[lane].modes["cuda"]
    assert row.status == "holds", row.reason


@pytest.mark.cuda
@pytest.mark.parametrize("name", RUNTIMES)
def test_the_strict_lane_is_the_same_twice_or_says_where_it_is_not(
    name: str, tiny: Checkpoint
) -> None:
    (row,) = on_gpu(tiny, name, device="cuda").rows
    assert row.record is not None
    assert row.record.repeats in ("equal", "differs")
    assert bool(row.record.differs_from) is (row.record.repeats == "differs")


@pytest.mark.cuda
@pytest.mark.parametrize("name", RUNTIMES)
def test_the_gpu_and_the_cpu_differ_by_no_more_than_both_may(name: str, tiny: Checkpoint) -> None:
    cpu, gpu = on_gpu(tiny, name, device="both").rows
    assert (cpu.status, gpu.status) == ("holds", "holds"), gpu.reason
    (case,) = gpu.beside_cpu
    assert [layer.tap for layer in case.layers] == list(tiny.configuration.taps)
    # It is another device: the very same bits would be the CPU's.
    assert any(layer.accumulated.max_error > 0 for layer in case.layers)


@pytest.mark.cuda
@pytest.mark.full
def test_tf32_is_seen_to_be_on_and_off(full: Checkpoint) -> None:
    lanes = [LANES["strict"], LANES["tf32"]]
    strict, tf32 = on_gpu(full, "torch", lanes=lanes, device="cuda", depth="logits").rows
    errors = [row.cases[0].layers[-1].accumulated.rms_error for row in (strict, tf32)]
    assert errors[1] > TF32_ABOVE_FLOAT32.limit * errors[0]


@pytest.mark.parametrize(
    ("asked", "required", "unusable", "outcome"),
    [
        (False, False, "no GPU", "needs --device cuda"),
        (True, False, "no GPU", "no GPU"),
        (True, False, "", ""),
        (False, True, "", ""),
    ],
)
def test_gpu_tests_run_where_they_are_asked_for_and_can(
    asked: bool, required: bool, unusable: str, outcome: str
) -> None:
    assert reason_to_skip(asked=asked or required, unusable=lambda: unusable) == outcome


@pytest.mark.slow
def test_where_a_gpu_is_required_the_skip_is_a_failure() -> None:
    test = f"{__file__}::test_parity_holds_on_the_gpu[tiny-torch]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", test],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "VGG16_REQUIRE_CUDA": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "1 error" in done.stdout
    assert "VGG16_REQUIRE_CUDA=1, but PyTorch finds no usable NVIDIA GPU" in done.stdout
