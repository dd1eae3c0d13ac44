"""A user's own folders, named like this project's, in front on the path: ours is still found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("vgg16")
COMMANDS = {"console script": [str(SCRIPT)], "module": [sys.executable, "-m", "vgg16_parity"]}
FOLDERS = ("vgg16", "parity", "export", "drawing", "arbiter")
RAISES = "raise RuntimeError('the user\\'s own')\n"

PORT = """
import torch_impl
from weights import load

try:
    import export
except RuntimeError:
    pass  # the user's own, as it should be here
else:
    raise AssertionError(export.__file__)

def run(images, path):
    return torch_impl.run_with_taps(torch_impl.VGG("tiny", weights=load(path)), images)
"""
WEIGHTS = "from vgg16_spec.checkpoint import open_checkpoint as load\n"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A folder of somebody else's modules; importing one raises."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(RAISES)
    for name in ("vgg16", "weights"):
        (tmp_path / f"{name}.py").write_text(RAISES)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """What a command prints in the folder, with the folder in front on the path."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=COMMANDS)
def vgg16_command(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "console script" and not SCRIPT.exists():
        pytest.skip(reason="the package is not installed here")
    return COMMANDS[request.param]


def test_a_runtime_runs(users: Path, vgg16_command: list[str]) -> None:
    out = run(users, *vgg16_command, "parity", "--configuration", "tiny", "--runtimes", "torch")
    assert "Parity holds" in out


def test_an_exported_graph_runs(users: Path) -> None:
    chosen = ("--runtimes", "onnx-from-torch", "--quick")
    out = run(users, *COMMANDS["module"], "parity", "--configuration", "tiny", *chosen)
    assert "Parity holds" in out


def test_a_port_runs_and_imports_its_neighbours(users: Path, vgg16_command: list[str]) -> None:
    (users / "my.py").write_text(PORT)
    (users / "weights.py").write_text(WEIGHTS)
    out = run(users, *vgg16_command, "parity", "--configuration", "tiny", "--port", "my.py:run")
    assert "Parity holds" in out


def test_the_packages_are_imported(users: Path) -> None:
    packages = ("onnx_arbiter", "vgg16_spec", "vgg16_weights", "vgg16_parity")
    run(users, sys.executable, "-c", f"import {', '.join(packages)}")
    run(users, sys.executable, "-c", "import vgg16_parity.run, vgg16_parity.own_port")
