"""``vgg16 draw``: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest

from parity_tests.support.helpers import Command
from vgg16_parity.runtimes import registry


def test_without_options_it_draws_the_volumes_of_vgg16(vgg16: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    done = vgg16("draw", "--out", file)
    assert done.status == 0, done.err
    assert done.out == f"{file}  {file.stat().st_size:,} bytes\n"
    root = ET.fromstring(file.read_text(encoding="utf-8"))
    words = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert "VGG16, configuration D" in words
    assert "block5_conv3" in words


def test_kind_and_configuration_are_taken(vgg16: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    done = vgg16("draw", "--out", file, "--kind", "table", "--configuration", "C", "--json")
    assert json.loads(done.out) == {
        "file": str(file),
        "kind": "table",
        "configuration": "C",
        "bytes": file.stat().st_size,
    }
    assert "Table 1 of the paper, configuration C marked" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.pdf"], "vgg16: a.pdf: ends in .pdf; expected .svg or .png"),
        (
            ["--out", "missing/a.svg"],
            "vgg16: missing: no such folder; expected an existing folder to write to",
        ),
        (
            ["--out", "a.svg", "--kind", "oil"],
            "vgg16: --kind: 'oil' is unknown; expected one of volumes, table, keras",
        ),
        (
            ["--out", "a.svg", "--configuration", "F"],
            "vgg16: configuration: 'F' is unknown; expected one of A, B, C, D, E, tiny",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    arguments: list[str],
    message: str,
    vgg16: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vgg16("draw", *arguments)
    assert done.status == 2
    assert done.err == f"{message}\n"
    assert done.out == ""
    assert not list(tmp_path.iterdir())


def test_without_graphviz_keras_s_picture_is_one_line_that_says_what_to_install(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "pydot" else name)
    done = vgg16("draw", "--out", tmp_path / "a.svg", "--kind", "keras")
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert 'pydot is not installed: pip install "vgg16-parity[draw]"' in line
    assert "Graphviz's program dot is not on the path: apt install graphviz" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["volumes", "table"])
def test_without_matplotlib_the_remedy_is_said(
    kind: str, vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        registry, "find_spec", lambda n: None if n == "matplotlib" else find_spec(n)
    )
    done = vgg16("draw", "--out", tmp_path / "a.svg", "--kind", kind)
    assert done.status == 2
    remedy = 'matplotlib is not installed: pip install "vgg16-parity[draw]"'
    assert done.err == f"vgg16: --kind {kind}: {remedy}\n"
    assert not list(tmp_path.iterdir())


def test_drawing_imports_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from vgg16_parity.cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    slow = {'torch', 'keras', 'jax', 'tensorflow', 'onnxruntime', 'onnx'}\n"
        "    slow |= {'matplotlib.pyplot'}\n"
        "    assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    arguments = ["draw", "--out", str(tmp_path / "a.png")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
