"""Experiments that need a process of their own: a backend or a switch is chosen at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]


def ask(name: str, environment: Mapping[str, str], *arguments: str) -> Callable[[], Any]:
    """Start ``python -m differences.NAME ARGUMENTS``, which prints JSON in its last line.

    Args:
        name: a module that prints its answer when it is run as a script.
        environment: variables added to those of this process.
        arguments: the script's arguments.

    Returns:
        A function that waits for the JSON. It raises ``RuntimeError`` with the end of the error
        output if the process failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"differences.{name}", *arguments],
        cwd=_ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def answer() -> Any:
        output, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"differences.{name} failed in its own process: {errors[-2000:]}")
        return json.loads(output.strip().splitlines()[-1])

    return answer
