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
    """What ``python -m differences.NAME ARGUMENTS`` prints as JSON, in its last line.

    Args:
        name: of the experiment; its module answers where it is run as a script.
        environment: variables of the process, beside or instead of this one's.
        arguments: handed on.

    Raises ``RuntimeError`` with what the process complained of where it fails.
    """
    variables = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | dict(environment)
    done = subprocess.run(
        [sys.executable, "-m", f"differences.{name}", *arguments],
        cwd=_ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"differences.{name} in a process of its own: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
