"""The GPU and its driver."""

from __future__ import annotations

import shutil
import subprocess


def driver() -> dict[str, str]:
    """The card and its driver as reported by ``nvidia-smi``; empty if it finds none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    found = subprocess.run(
        [command, "--query-gpu=name,driver_version", "--format=csv,noheader"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    first = found.stdout.strip().partition("\n")[0].split(", ")
    return dict(zip(("card", "driver"), first, strict=False)) if found.returncode == 0 else {}
