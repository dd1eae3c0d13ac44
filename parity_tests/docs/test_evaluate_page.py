"""``docs/how-to/evaluate.md``: its example runs, and it names every option and file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from vgg16_parity.cli.app import app
from vgg16_parity.evaluate import folder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "evaluate.md").read_text(encoding="utf-8")
# What the commands of the page that need no file of the reader's write to.
FOLDER, LIST = "run", "run-list"


def shell(*, of: str) -> str:
    """The page's shell blocks up to the next heading behind some text."""
    part = PAGE.partition(of)[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", part))


def run(script: str, where: Path) -> None:
    """Run a script whose ``vgg16`` is this project's."""
    command = f'vgg16() {{ "{sys.executable}" -m vgg16_parity "$@"; }}\n'
    command += f'python() {{ "{sys.executable}" "$@"; }}\nset -e\n{script}'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=where, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def found(where: Path, name: str) -> Any:
    return json.loads((where / name / "evaluation.json").read_text(encoding="utf-8"))


def test_the_page_names_every_option_of_the_command() -> None:
    command: Any = get_command(app)
    options = [o for p in command.commands["evaluate"].params for o in p.opts if o[:2] == "--"]
    missing = [o for o in options if not re.search(rf"{o}(?![\w-])", PAGE) and o != "--help"]
    assert options
    assert missing == []


def test_the_page_names_every_folder_that_a_run_writes() -> None:
    names = re.findall(r"(?m)^ {4}(\w+)/", folder.__doc__ or "")
    assert {"results", "shards", "pixels", "graphs"} <= set(names)
    assert all(f"`{name}/" in PAGE for name in names)


@pytest.mark.slow
def test_the_first_run_and_the_list_of_the_same_images_agree(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    first, _, _ = shell(of="## A first run").partition("vgg16 evaluate val/ --weights")
    run(first.replace("torch,onnx-from-torch", "torch"), tmp_path)
    run(shell(of="## The data set"), tmp_path)
    of_folder, of_list = (found(tmp_path, name) for name in (FOLDER, LIST))
    assert of_folder["images"] == of_folder["labelled"] == 2
    assert "names" in of_folder["mapping"]
    assert "numbers" in of_list["mapping"]
    losses = [document["runtimes"][0]["loss"] for document in (of_folder, of_list)]
    assert losses[0] == losses[1] > 0
