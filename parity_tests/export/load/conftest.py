"""The tiny network as one file, and with its weights beside it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces
from parity_tests.support.graphs.loaded import DATA
from vgg16_spec.checkpoint import Checkpoint


@pytest.fixture(scope="package")
def embedded(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network as one file."""
    with remembered_traces():
        return export_onnx("keras", tiny, tmp_path_factory.mktemp("embedded") / "model.onnx")


@pytest.fixture
def external(embedded: Path, tmp_path: Path) -> Path:
    """The same with its weights in a file beside it."""
    path = tmp_path / "model.onnx"
    model = onnx.load(embedded)
    onnx.save_model(model, path, save_as_external_data=True, location=DATA, size_threshold=0)
    return path
