"""Ports of no network: quick functions of the pixels, in a file for ``own_port``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vgg16_parity.runtimes import process, worker
from vgg16_parity.runtimes.registry import Runtime, own_port

_PORT = """
import time
import numpy as np

def run(images, weights):
    time.sleep({pause})
    thinned = images.reshape(len(images), -1)[:, ::13]
    logits = np.zeros((len(images), 1000), np.float32)
    logits[:, : min(1000, thinned.shape[1])] = thinned[:, :1000]
    {more}
    return logits
"""


def port(folder: Path, name: str = "thinned", *, pause: float = 0.0, more: str = "pass") -> Runtime:
    """A port whose logits are some of an image's values; ``more`` is a line of its code."""
    file = folder / f"{name}.py"
    file.write_text(_PORT.format(pause=pause, more=more))
    return own_port(f"{file}:run")


def expected(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the port makes of prepared images (N, 3, H, W)."""
    found: NDArray[np.float32] = images.reshape(len(images), -1)[:, ::13][:, :1000]
    return np.pad(found, ((0, 0), (0, 1000 - found.shape[1])))


def work_in_process(patch: pytest.MonkeyPatch) -> list[str]:
    """Have this process do what workers are to do; returns where each job's text is put."""
    jobs: list[str] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        jobs.append(command[-1])
        return subprocess.CompletedProcess(command, worker.main(command[-1]))

    patch.setattr(process.subprocess, "run", run)  # type: ignore[attr-defined]
    return jobs
