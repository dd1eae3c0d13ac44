"""The package's face: what it names is there, and importing it takes no time."""

from __future__ import annotations

import subprocess
import sys

import onnx_arbiter
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.judge.explain import explain
from onnx_arbiter.judge.records import Report


def test_the_face_names_what_is_there() -> None:
    assert onnx_arbiter.__all__ == ["Arbiter", "Report", "explain"]
    assert onnx_arbiter.Arbiter is Arbiter
    assert onnx_arbiter.Report is Report
    assert onnx_arbiter.explain is explain
    assert {"Arbiter", "Report", "explain"} <= set(dir(onnx_arbiter))


def test_importing_it_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\n"
        "import onnx_arbiter, onnx_arbiter.torch, onnx_arbiter.keras\n"
        "slow = {'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'keras', 'tensorflow'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "onnx_arbiter.Arbiter\n"
        "assert 'numpy' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
