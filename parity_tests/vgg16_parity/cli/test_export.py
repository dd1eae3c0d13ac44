"""``vgg16 export`` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from export import export_onnx
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint


def test_export_writes_the_folder_and_says_what_is_in_it(vgg16: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = vgg16(
        "export", "--framework", "torch", "--configuration", "tiny", "--out", out, "--json"
    )
    assert done.status == 0, done.err
    document = json.loads(done.out)
    found = {str(path): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    assert document == {
        "model": str(out / "model.onnx"),
        "files": found,
        "accuracy": None,
        "recipe": "torchvision",
        "recipe_assumed": False,
    }


@pytest.mark.full
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_export_traces_keras_on_the_backend_that_is_asked_for(
    tiny: Checkpoint, tmp_path: Path, backend: str
) -> None:
    # In a process of its own: a backend is chosen when Keras is imported.
    out = tmp_path / "from-keras.onnx"
    arguments = ["export", "--framework", "keras", "--backend", backend]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vgg16_parity", *arguments),
            *("--weights", tiny.file, "--out", out),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}  {out.stat().st_size:,} bytes\n"
    same = export_onnx("torch", tiny, tmp_path / "from-torch.onnx")
    assert out.read_bytes() == same.read_bytes()
