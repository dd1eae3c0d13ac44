"""What several tests of the command line start from."""

from __future__ import annotations

from pathlib import Path

import pytest

import vgg16_weights
from parity_tests.support.foreign_text import HOSTILE, NAME
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.metadata import Metadata


@pytest.fixture
def stating(tiny: Checkpoint, tmp_path: Path) -> Path:
    """Weights in a file whose name and whose metadata are hostile."""
    metadata = Metadata("caffe", HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    checkpoint = tiny.replaced(metadata=metadata)
    vgg16_weights.write(checkpoint, tmp_path / f"{NAME}.safetensors")
    return tmp_path / f"{NAME}.safetensors"
