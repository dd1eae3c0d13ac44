"""The pages of the arbiter of any network name the rules and options that there are."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from onnx_arbiter.cli.app import app
from onnx_arbiter.operators.rules import RULES
from onnx_arbiter.runtimes.registry import RUNTIMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMAND = "onnx-arbiter "
PAGE = (DOCS / "how-to" / "any-network.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "onnx_arbiter.md").read_text(encoding="utf-8")


def test_every_rule_is_in_its_modules_line() -> None:
    lines = re.findall(r"(?m)^\| [^|`]+ \| `([\w.]+)` \| (.+) \|$", REFERENCE)
    listed = dict[str, set[str]]()
    for module, operators in lines:
        listed[module] = set(operators.split(", "))
        assert listed[module] == set(import_module(f"onnx_arbiter.operators.{module}").RULES)
    assert set().union(*listed.values()) == set(RULES)


@pytest.mark.parametrize(
    "page",
    ["docs/how-to/any-network.md", "docs/how-to/any-network.zh.md", "README.md", "README.zh.md"],
)
def test_every_command_is_one_that_the_command_line_takes(page: str) -> None:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith(COMMAND)]
    assert commands
    for name, *words in commands:
        get_command(app).make_context(name, words)


def test_every_runtime_is_named() -> None:
    [line] = re.findall(r"(?m)^\| `--runtime` \| (.+) \|$", PAGE)
    assert set(re.findall(r"`([\w-]+)`", line)) == set(RUNTIMES)


def test_the_chinese_page_shows_the_same_blocks_options_and_runtimes() -> None:
    chinese = (DOCS / "how-to" / "any-network.zh.md").read_text(encoding="utf-8")

    for pattern in (r"(?ms)^```.*?^```$", r"\]\((?!any-network)([^)]+)\)", r"`--[\w-]+"):
        assert sorted(re.findall(pattern, chinese)) == sorted(re.findall(pattern, PAGE))
    assert len(re.findall(r"(?m)^## ", chinese)) == len(re.findall(r"(?m)^## ", PAGE))
    [line] = re.findall(r"(?m)^\| `--runtime` \| (.+) \|$", chinese)
    assert set(re.findall(r"`([\w-]+)`", line)) == set(RUNTIMES)
