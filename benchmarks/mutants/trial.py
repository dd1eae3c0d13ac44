"""A copy of the project in which changes are tried, by forks of a process that is warm."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import coverage
import pytest

from benchmarks.mutants.changes import Change
from vgg16_spec.errors import BadInput

ARGUMENTS: Final = (
    *("-n0", "-q", "-p", "no:cacheprovider", "-m", "not full and not slow"),
    "--hypothesis-seed=0",
    # This process has imported what pytest would like to import first.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
# A change can make a loop endless or an array huge.
_SLOWER: Final = 5
_UNCHANGED_S: Final = 1800.0
_MEMORY: Final = 8 * 2**30
_FORK: Final = multiprocessing.get_context("fork")


class Outcome(StrEnum):
    """What became of a change."""

    NOTICED = "noticed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    UNREACHED = "not reached"


@dataclass(frozen=True)
class Reach:
    """What a test file executes of the room, and how long it takes.

    Attributes:
        seconds: for the whole file.
        lines: module -> numbers of the lines.
    """

    seconds: float
    lines: dict[str, list[int]]


class Trial:
    """A folder with a copy of the project, and what its tests reach without a change.

    Args:
        project: the project's folder.
        folder: keeps the copy and what was found in it, until the sources differ.
        modules: the room's modules, relative to the project's folder.
        tests: its test files, likewise.
        grace: seconds that a change may add, beside five times what its tests take without it.

    Raises:
        BadInput: the project is no clone, a test fails without a change, or none reaches the room.
    """

    def __init__(
        self,
        project: Path,
        folder: Path,
        modules: Sequence[Path],
        tests: Sequence[str],
        grace: float = 20.0,
    ) -> None:
        self._grace = grace
        self._project, self._folder = project, folder
        self._tree = folder / "copy"
        self._modules, self._tests = modules, tests
        self._renew()
        self._enter()
        self._reach = self._measure()
        if not any(lines for reach in self._reach.values() for lines in reach.lines.values()):
            raise BadInput(", ".join(tests), "executes no line of the room")

    def outcome(self, change: Change) -> Outcome:
        """Run the test files that execute the changed lines, the shortest first."""
        reaching = sorted(
            (reach.seconds, name)
            for name, reach in self._reach.items()
            if not set(change.lines).isdisjoint(reach.lines.get(change.key.file, ()))
        )
        if not reaching:
            return Outcome.UNREACHED
        limit = self._grace + _SLOWER * sum(seconds for seconds, _ in reaching)
        module = self._tree / change.key.file
        before, stat = module.read_text(encoding="utf-8"), module.stat()
        module.write_text(change.source, encoding="utf-8")
        try:
            status = self._forked(lambda: _pytest("-x", *(name for _, name in reaching)), limit)
        finally:
            module.write_text(before, encoding="utf-8")
            # Its bytecode is that of a text of the same time.
            os.utime(module, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if status is None:
            return Outcome.TIMED_OUT
        survived = status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        return Outcome.SURVIVED if survived else Outcome.NOTICED

    def _renew(self) -> None:
        """Copy the project's files; forget what was found with others."""
        names = _files(self._project)
        digest = hashlib.sha256(repr((*ARGUMENTS, *self._tests)).encode())
        for name in sorted(names):
            if name.endswith((".py", ".toml", ".json")) and "benchmarks" not in Path(name).parts:
                digest.update(name.encode() + (self._project / name).read_bytes())
        known = self._folder / "digest"
        if not known.is_file() or known.read_text() != digest.hexdigest():
            shutil.rmtree(self._folder, ignore_errors=True)
        for name in names:
            target = self._tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._project / name, target)
        known.write_text(digest.hexdigest())

    def _enter(self) -> None:
        """Import what the tests import once; a fork then takes a second to begin."""
        self._forget()
        os.chdir(self._tree)
        sys.path.insert(0, str(self._tree))
        os.environ |= {"PYTHONPATH": str(self._tree), "PYTHONDONTWRITEBYTECODE": "1"}
        with contextlib.redirect_stdout(sys.stderr):
            _pytest("--collect-only", "-qqq", *self._tests)
        sys.dont_write_bytecode = True
        gc.collect()
        gc.freeze()

    def _measure(self) -> dict[str, Reach]:
        kept = self._folder / "reach.json"
        if kept.is_file():
            return {name: Reach(**reach) for name, reach in json.loads(kept.read_text()).items()}
        found = {name: self._reached(name) for name in self._tests}
        kept.write_text(json.dumps({name: vars(reach) for name, reach in found.items()}))
        return found

    def _reached(self, name: str) -> Reach:
        """Run one test file, and say which lines of the room it executes."""
        result = self._folder / "lines.json"
        log = self._folder / "unchanged.log"

        def traced() -> int:
            tracing = coverage.Coverage(
                data_file=None, include=[str(self._tree / module) for module in self._modules]
            )
            with tracing.collect():
                status = _pytest(name)
            data = tracing.get_data()
            lines = {
                str(module): sorted(data.lines(str(self._tree / module)) or ())
                for module in self._modules
            }
            result.write_text(json.dumps(lines))
            return status

        started = time.monotonic()
        status = self._forked(traced, _UNCHANGED_S, log)
        seconds = time.monotonic() - started
        if status == pytest.ExitCode.NO_TESTS_COLLECTED:
            return Reach(0.0, {})
        if status != pytest.ExitCode.OK:
            raise BadInput(name, f"fails without a change: see {log}")
        return Reach(seconds, json.loads(result.read_text()))

    def _forked(self, work: Callable[[], int], limit: float, log: Path | None = None) -> int | None:
        """The exit status of a fork that does the work; none if it took longer than the limit."""
        child = _FORK.Process(target=self._child, args=(work, log))
        child.start()
        try:
            child.join(limit)
            return child.exitcode
        finally:
            _end(child)

    def _child(self, work: Callable[[], int], log: Path | None) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        _silence(log)
        self._forget()
        sys.exit(work())

    def _forget(self) -> None:
        """Let the project's own modules be imported again, from the copy."""
        roots = tuple(f"{root}{os.sep}" for root in (self._tree, self._project))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if file.startswith(roots) and ".venv" not in file and name != "__main__":
                del sys.modules[name]


def _files(project: Path) -> list[str]:
    """The files that git knows, or would if they were added."""
    if Path(_git(project, "rev-parse", "--show-toplevel").rstrip("\n")) != project.resolve():
        raise BadInput(project, "is not the root of its clone")
    listed = _git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.split("\0") if (project / name).is_file()]


def _git(project: Path, *arguments: str) -> str:
    asked = ["git", *arguments]
    try:
        done = subprocess.run(asked, cwd=project, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BadInput(project, "git cannot list its files", "a clone of the project") from error
    return done.stdout


def _pytest(*arguments: str) -> int:
    return int(pytest.main([*ARGUMENTS, *arguments]))


def _end(child: BaseProcess) -> None:
    """End a trial, and what it started and left behind."""
    child.kill()
    if child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.join()


def _silence(log: Path | None) -> None:
    sink = os.open(os.devnull if log is None else log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
