"""Experiments that need a process of their own: a backend or a switch is chosen at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]


def ask(name: str, environment: Mapping[str, str], *arguments: str) -> Any:
    """The JSON in the last line that ``python -m differences.NAME ARGUMENTS`` prints.

    Args:
        name: a module that prints its answer when it is run as a script.
        environment: variables added to those of this process.
        arguments: the script's arguments.

    Raises:
        RuntimeError: the process fails; has the end of its error output.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"differences.{name}", *arguments],
        cwd=_ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"differences.{name} failed in its own process: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
