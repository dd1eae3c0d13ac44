"""An export that is killed leaves a whole folder or none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from export import from_keras
from vgg16.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_a_killed_export_leaves_a_whole_folder_or_none(tiny: Checkpoint, tmp_path: Path) -> None:
    trace = tmp_path / "trace.onnx"
    onnx.save(ir.to_proto(from_keras.trace(tiny.configuration)), trace)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "parity_tests.killed_export"),
            *(trace, tiny.file, tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(report["found"]) == 20
    assert set(report["found"]) <= {"whole", "absent"}
    # The moments lie before, in and after the writing.
    assert set(report["found"]) == {"whole", "absent"}
