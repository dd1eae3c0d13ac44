"""What reaches a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, Literal, cast

import pytest

from parity_tests.support.foreign_text import unseen

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def shown(code: str, stream: Literal["stdout", "stderr"]) -> str:
    """What a program writes into a terminal of 80 columns."""
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, **{stream: theirs})  # type: ignore[call-overload]
    os.close(theirs)
    text = os.read(ours, 100_000).decode()
    os.close(ours)
    return text


@needs_terminal
def test_a_terminal_of_80_columns_shows_the_whole_table() -> None:
    code = (
        "from onnx_arbiter.cli.console import print_table\n"
        "from vgg16_parity.report.table import COLUMNS\n"
        "row = ('keras-tensorflow', 'not run', 'bfloat16', '0.81', '5.46', '0.81', '1.2e-05')\n"
        "print_table(COLUMNS, [(*row, '19/19', '118', '3.1')], text_columns=3)\n"
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown(code, "stdout")).splitlines()
    assert len(lines) == 2
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split()[:4] == ["keras-tensorflow", "not", "run", "bfloat16"]


@needs_terminal
def test_a_terminal_shows_what_others_wrote_as_text_without_markup() -> None:
    code = (
        "from parity_tests.support.foreign_text import NAME\n"
        "from onnx_arbiter.cli.console import print_table, receiving, say, show, working\n"
        "print_table((NAME, 'b'), [(NAME, NAME), (NAME, 'broken')], text_columns=1)\n"
        "show(NAME)\n"
        "with working(NAME), receiving(NAME) as progress:\n"
        "    progress(1_000_000, 2_000_000)\n"
        "say(NAME)\n"
    )
    for stream, times in (("stdout", 5), ("stderr", 5)):
        # Rich colours, moves and hides the cursor; a terminal ends lines with \r\n.
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(code, cast(Any, stream)))
        assert not unseen(text, allowed="\r\n")
        assert text.count("[red][link=x:y]`|<b>&*") >= times, text


@needs_terminal
def test_a_terminal_shows_a_bar_and_a_log_shows_lines() -> None:
    code = (
        "from onnx_arbiter.cli.console import receiving\n"
        "with receiving('fetch it') as progress:\n"
        "    for done in range(1, 101):\n"
        "        progress(done * 1_000_000, 100_000_000)\n"
    )
    bar = shown(code, "stderr")
    assert "100.0/100.0 MB" in bar
    assert "━" in bar
    logged = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stderr.splitlines()
    assert logged[0] == "fetch it …"
    assert logged[1:-1] == [f"fetch it: {10 * n} % of 100.0 MB" for n in range(1, 11)]
