"""A copy of the project in which changes are tried, by forks of a process that is warm."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import coverage
import pytest

from benchmarks.mutants.changes import Change
from benchmarks.mutants.rooms import nearest
from vgg16_spec.errors import BadInput

ARGUMENTS: Final = (
    *("-n0", "-q", "-p", "no:cacheprovider", "-m", "not full and not slow"),
    "--hypothesis-seed=0",
    # This process has imported what pytest would like to import first.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
# A change can make a loop endless, a process wait for ever or an array huge. Endless loops are told
# by the processor's time: other work may slow all tests down.
_SLOWER: Final = 5
_WAITING: Final = 10
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
        seconds: of the processor, for the whole file.
        lines: module -> numbers of the lines.
    """

    seconds: float
    lines: dict[str, list[int]]


class Trial:
    """A folder with a copy of the project, and what its tests reach without a change.

    Args:
        project: the project's folder.
        folder: keeps the copy and what was found in it, until the sources differ. What a test file
            reaches is kept while only other test files differ, since none imports another.
        modules: the room's modules, relative to the project's folder.
        tests: its test files, likewise.
        grace: seconds of the processor that a change may add, beside five times what its tests take
            without it.
        near: whether only the tests of a module's own folder are tried.

    Raises:
        BadInput: the project is no clone.
    """

    def __init__(
        self,
        project: Path,
        folder: Path,
        modules: Sequence[Path],
        tests: Sequence[str],
        *,
        grace: float = 20.0,
        near: bool = False,
    ) -> None:
        self._grace, self._near = grace, near
        self._project, self._folder = project, folder
        self._tree = folder / "copy"
        self._modules, self._tests = modules, tests
        self._reach: dict[str, Reach] = {}
        self._renew()
        self._enter()

    def outcome(self, change: Change) -> Outcome:
        """Run the test files that execute the changed lines, those near the module first.

        Raises:
            BadInput: a test fails without the change, or none reaches the room.
        """
        found = Outcome.UNREACHED
        for tests in nearest(self._tests, change.key.file)[: 1 if self._near else 2]:
            outcome = self._tried(change, tests)
            if outcome in (Outcome.NOTICED, Outcome.TIMED_OUT):
                return outcome
            if outcome is Outcome.SURVIVED:
                found = outcome
        if not any(lines for reach in self._reach.values() for lines in reach.lines.values()):
            raise BadInput(", ".join(self._tests), "executes no line of the room")
        return found

    def _tried(self, change: Change, tests: Sequence[str]) -> Outcome:
        """What becomes of a change with some of the test files, the shortest first."""
        reaching = sorted(
            (reach.seconds, name)
            for name, reach in ((name, self._reach_of(name)) for name in tests)
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
        if status is None or status == -signal.SIGXCPU:
            return Outcome.TIMED_OUT
        survived = status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        return Outcome.SURVIVED if survived else Outcome.NOTICED

    def _renew(self) -> None:
        """Copy the project's files; forget what was found with others."""
        names = _files(self._project)
        shared = hashlib.sha256(repr(ARGUMENTS).encode())
        tests: dict[str, bytes] = {}
        for name in sorted(names):
            if name.endswith((".py", ".toml", ".json")) and "benchmarks" not in Path(name).parts:
                source = name.encode() + (self._project / name).read_bytes()
                if Path(name).name.startswith("test_"):
                    tests[name] = source
                else:
                    shared.update(source)
        self._sources = {name: _digest(shared.digest(), tests[name]) for name in self._tests}
        digest = _digest(shared.digest(), repr(self._tests).encode(), *tests.values())
        known = self._folder / "digest"
        if not known.is_file() or known.read_text() != digest:
            shutil.rmtree(self._tree, ignore_errors=True)
            for results in self._folder.glob("*.jsonl"):
                results.unlink()
        for name in names:
            target = self._tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._project / name, target)
        known.write_text(digest)

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

    def _reach_of(self, name: str) -> Reach:
        """What a test file reaches, kept from run to run."""
        if name not in self._reach:
            kept = self._folder / "reach" / f"{self._sources[name]}.json"
            if not kept.is_file():
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(vars(self._reached(name))))
            self._reach[name] = Reach(**json.loads(kept.read_text()))
        return self._reach[name]

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

        before = _spent()
        status = self._forked(traced, _UNCHANGED_S, log)
        seconds = _spent() - before
        if status == pytest.ExitCode.NO_TESTS_COLLECTED:
            return Reach(0.0, {})
        if status != pytest.ExitCode.OK:
            raise BadInput(name, f"fails without a change: see {log}")
        return Reach(seconds, json.loads(result.read_text()))

    def _forked(self, work: Callable[[], int], limit: float, log: Path | None = None) -> int | None:
        """The exit status of a fork that does the work; none if it waited too long.

        One that needs more of the processor's time than the limit is ended by SIGXCPU.
        """
        child = _FORK.Process(target=self._child, args=(work, limit, log))
        child.start()
        try:
            child.join(_WAITING * limit)
            return child.exitcode
        finally:
            _end(child)

    def _child(self, work: Callable[[], int], limit: float, log: Path | None) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 1))
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


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


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


def _spent() -> float:
    """Seconds of the processor that all forks so far have taken, and what these started."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


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
