"""An export that is killed leaves a whole folder or none."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from export.trace import from_keras
from parity_tests.support import killing
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


@killing.needs_fork
def test_a_killed_export_leaves_a_whole_folder_or_none(tiny: Checkpoint, tmp_path: Path) -> None:
    trace = tmp_path / "trace.onnx"
    onnx.save(ir.to_proto(from_keras.trace(tiny.configuration)), trace)
    report = killing.report("graphs.killed_export", trace, tiny.file, tmp_path / "out")
    assert len(report["found"]) == killing.ATTEMPTS
    assert set(report["found"]) <= {"whole", "absent"}
    # The moments lie before, in and after the writing.
    assert set(report["found"]) == {"whole", "absent"}
