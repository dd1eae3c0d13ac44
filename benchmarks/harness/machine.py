"""The machine and the versions that a measurement was made on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def measurement_facts(packages: Iterable[str], date: str) -> dict[str, str]:
    """The machine, the system, Python and the packages that are installed.

    Args:
        packages: distributions whose versions matter; those not installed are left out.
        date: the date of the measurement.

    Returns:
        Fact -> its text.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    total = memory_line("MemTotal")
    return {
        "date": date,
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{total / 2**30:.1f} GiB" if total else "unknown",
        "system": f"{_system()}, {platform.system()} {platform.release()}",
        "revision": _revision() or "unknown",
        "Python": platform.python_version(),
        **{package: found for package in packages if (found := _version(package))},
    }


def memory_line(name: str) -> int:
    """A line of ``/proc/meminfo`` in bytes, or 0 if there is none."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def _revision() -> str:
    """The commit of this working tree, and whether files differ from it."""
    git = shutil.which("git")
    if git is None:
        return ""
    found = subprocess.run(
        [git, "describe", "--always", "--dirty=, changed since", "--abbrev=12", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=False,
        text=True,
    )
    return found.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
