"""What reaches a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns_shows_the_whole_table() -> None:
    import pty

    code = (
        "from vgg16_parity.cli.console import print_table\n"
        "from vgg16_parity.report.table import COLUMNS\n"
        "row = ('keras-tensorflow', 'not run', 'bfloat16', '0.81', '5.46', '0.81', '1.2e-05')\n"
        "print_table(COLUMNS, [(*row, '19/19', '118', '3.1')], text_columns=3)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 10_000).decode()).splitlines()
    os.close(ours)
    assert len(shown) == 2
    assert all(len(line) <= 80 for line in shown)
    assert shown[1].split()[:4] == ["keras-tensorflow", "not", "run", "bfloat16"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar_and_a_log_shows_lines() -> None:
    import pty

    code = (
        "from vgg16_parity.cli.console import receiving\n"
        "with receiving('fetch it') as progress:\n"
        "    for done in range(1, 101):\n"
        "        progress(done * 1_000_000, 100_000_000)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "100.0/100.0 MB" in shown
    assert "━" in shown
    logged = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stderr.splitlines()
    assert logged[0] == "fetch it …"
    assert logged[1:-1] == [f"fetch it: {10 * n} % of 100.0 MB" for n in range(1, 11)]
