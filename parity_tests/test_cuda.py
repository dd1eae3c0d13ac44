"""Parity on an NVIDIA GPU, in IEEE float32."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from parity import run
from parity.runtimes import RUNTIMES
from parity_tests.cuda import reason_to_skip
from vgg16.photographs import PHOTOGRAPHS


@pytest.mark.cuda
@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("configuration", ["tiny", pytest.param("full", marks=pytest.mark.full)])
def test_parity_holds_on_the_gpu(
    name: str, configuration: str, request: pytest.FixtureRequest
) -> None:
    runtime = RUNTIMES[name]
    if reason := runtime.missing():
        pytest.skip(reason)
    checkpoint = request.getfixturevalue(configuration)
    pictures = [photograph.path for photograph in PHOTOGRAPHS]
    (row,) = run.run_parity(checkpoint, pictures, [runtime], device="cuda").rows
    if name == "keras-tensorflow" and row.status == "not run":
        # TensorFlow's wheel finds a GPU only where its own CUDA packages are installed too.
        pytest.skip(row.reason)
    assert row.status == "holds", row.reason


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
