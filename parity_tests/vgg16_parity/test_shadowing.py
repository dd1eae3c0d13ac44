"""A user's own ``export/`` shadows this project's: commands that need ours say so, others work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vgg16_parity
from vgg16_parity.shadowing import require_own_export
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS

PROJECT = Path(vgg16_parity.__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with an ``export/`` of their own, which does not survive being run."""
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "__init__.py").write_text("raise RuntimeError('the wrong export')\n")
    return tmp_path


def vgg16_in(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    # `python -m` puts the current folder before everything else.
    return subprocess.run(
        [sys.executable, "-m", "vgg16_parity", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


NEED_EXPORT = {
    "export": ("export", "--framework", "torch", "--out", "out", "--configuration", "tiny"),
    "check": ("check", "model.onnx", "--configuration", "tiny"),
    "summary": ("summary", "--framework", "onnx", "--configuration", "tiny"),
}


@pytest.mark.parametrize("command", NEED_EXPORT)
def test_a_command_that_needs_export_names_the_folder(folder: Path, command: str) -> None:
    (folder / "model.onnx").write_bytes(b"not read")
    done = vgg16_in(folder, *NEED_EXPORT[command])
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(folder / "export" / "__init__.py") in line
    assert "shadows" in line


@pytest.mark.slow
def test_other_commands_work_beside_it(folder: Path, tiny: Checkpoint) -> None:
    for arguments in (
        ("port", tiny.file, "ported.pth"),
        ("predict", PHOTOGRAPHS[0].path, "--weights", "ported.pth", "--runtime", "torch"),
        ("parity", "--configuration", "tiny", "--runtimes", "torch", "--quick"),
    ):
        done = vgg16_in(folder, *arguments)
        assert done.returncode == 0, done.stderr


def test_a_file_of_that_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_own_export()
    (tmp_path / "export.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "export"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BadInput, match=r"export\.py: shadows"):
        require_own_export()
