"""A device that cannot be used is told from a runtime that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.helpers import PICTURES
from vgg16_parity import run
from vgg16_parity.runtimes import worker
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.process import environment, unusable, work
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint

UNUSABLE = [
    "CUDA error: no kernel image is available for execution on the device",
    "CUDA driver version is insufficient for CUDA runtime version",
    "The NVIDIA driver on your system is too old (found version 12000).",
    "Found no NVIDIA driver on your system.",
    "CUDA error: all CUDA-capable devices are busy or unavailable",
    "no CUDA-capable device is detected",
    "CUDA out of memory. Tried to allocate 392.00 MiB.",
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 411041792 bytes.",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "libcudnn.so.9: cannot open shared object file: No such file or directory",
    "DNN library initialization failed.",
]
WRONG = [
    "expected scalar type Float but found Half",
    "the size of tensor a (512) must match the size of tensor b (256)",
    "CUDNN_STATUS_BAD_PARAM",
    "CUDA error: an illegal memory access was encountered",
]


def job(folder: str) -> Job:
    return Job("run", RUNTIMES["torch"], "strict", "", folder, "cuda", depth="logits")


@pytest.mark.parametrize("said", UNUSABLE)
def test_a_gpu_that_cannot_be_used_is_recognised(said: str) -> None:
    assert unusable("cuda", said)
    # On the CPU the same words are the runtime's own failure.
    assert not unusable("cpu", said)


@pytest.mark.parametrize("said", WRONG)
def test_a_runtimes_own_mistake_is_not_the_devices(said: str) -> None:
    assert not unusable("cuda", said)


@pytest.mark.parametrize(
    ("said", "without"), [(UNUSABLE[0], True), (UNUSABLE[6], True), (WRONG[0], False)]
)
def test_a_worker_whose_framework_cannot_use_the_gpu_was_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, without: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError(f"{said}\nmore of it")

    monkeypatch.setattr(worker, "loader", refuse)
    assert worker.main(job(str(tmp_path)).to_text()) == 1
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["error"] == f"RuntimeError: {said}"
    assert record["unavailable"] is without


def test_an_export_needs_no_gpu_and_sees_none() -> None:
    export = Job("export", RUNTIMES["onnx-from-keras"], "strict", "", "")
    assert environment(export)["CUDA_VISIBLE_DEVICES"] == ""
    outside = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert environment(job("")).get("CUDA_VISIBLE_DEVICES") == outside


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux kills so")
@pytest.mark.parametrize("end", ["SIGKILL", "SIGSEGV"])
def test_a_death_for_another_reason_is_not_the_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    real = subprocess.run

    def start(_command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        code = f"import os, signal; print({UNUSABLE[10]!r}, flush=True)"
        code += f"; os.kill(os.getpid(), signal.{end})"
        return real([sys.executable, "-c", code], **options)

    monkeypatch.setattr(subprocess, "run", start)
    folder = str(tmp_path / "job")
    # A GPU may have been in use where the kernel killed; an export has none.
    on_gpu, export = job(folder), Job("export", RUNTIMES["torch"], "strict", "", folder)
    record = work(on_gpu if end == "SIGKILL" else export)
    assert record.error
    assert not record.unavailable


@pytest.mark.parametrize(
    ("printed", "status"), [(UNUSABLE[10], "not run"), ("Segmentation fault", "failed")]
)
def test_a_library_that_ends_the_process_for_want_of_the_gpu_was_not_run(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, printed: str, status: str
) -> None:
    real = subprocess.run

    def start(_command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        code = f"import sys; print({printed!r}); print('Aborted'); sys.exit(134)"
        return real([sys.executable, "-c", code], **options)

    monkeypatch.setattr(subprocess, "run", start)
    chosen = [RUNTIMES["torch"]]
    (row,) = run.run_parity(tiny, PICTURES, chosen, device="cuda", depth="logits").rows
    assert (row.status, row.reason) == (status, "the worker ended with status 134: Aborted")
