"""A project of a few lines, whose changes are tried for good."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

# A process of its own: a trial changes its folder, its path and what it has imported.
_TRY = """
import json, sys
from pathlib import Path
from benchmarks.mutants.changes import changes
from benchmarks.mutants.trial import Trial

project = Path(sys.argv[1])
modules = [Path("toy.py")]
trial = Trial(project, project / "build", modules, ["test_toy.py", "test_slow.py"], grace=1.0)
tried = list(changes(project, modules, 0))[: int(sys.argv[2])]
found = {change.key.now: trial.outcome(change) for change in tried}
print("\\n" + json.dumps(found))
"""
_FILES = {
    ".gitignore": "build/\n",
    # Its own, wherever it lies: a folder above may have settings of its own too.
    "pytest.ini": "[pytest]\nmarkers = slow\n",
    "toy.py": """
LIMIT = 20.0

def empty(items):
    while items:
        items.pop()

def double(x):
    return x * 2.0

def unused(x):
    return x and 1
""",
    "started.py": "import toy\nprint(toy.LIMIT)\n",
    "test_toy.py": """
import fcntl, subprocess, sys
import toy

def test_that_leaves_a_process_behind():
    with open("../held", "w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        subprocess.Popen(["sleep", "600"], pass_fds=[held.fileno()])

def test_in_a_process_of_its_own():
    done = subprocess.run([sys.executable, "-P", "started.py"], capture_output=True, text=True)
    assert done.stdout == "20.0\\n"

def test_here():
    toy.empty([1, 2])
    assert toy.double(2.0)
""",
    "test_slow.py": """
import pytest, toy

@pytest.mark.slow
def test_double():
    assert toy.double(3.0) == 6.0
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def tried(project: Path, count: int = 100) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", _TRY, str(project), str(count)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def refused(project: Path) -> str:
    done = tried(project)
    assert done.returncode
    return done.stderr


@pytest.mark.slow
def test_what_becomes_of_each_change(project: Path) -> None:
    done = tried(project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "LIMIT = 200.0": "noticed",
        "LIMIT = 2.0": "noticed",
        "while not items:": "survived",
        "pass": "timed out",
        "return x / 2.0": "survived",
        "return x + 2.0": "survived",
        "return x * 20.0": "survived",
        "return x * 0.2": "survived",
        "return x or 1": "not reached",
        "return x and 2": "not reached",
        "return x and (0)": "not reached",
    }
    for copy in (project, project / "build" / "copy"):
        assert (copy / "toy.py").read_text() == _FILES["toy.py"]
    with (project / "build" / "held").open() as held:
        # Nothing that a trial started still holds it.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
def test_tests_that_fail_without_a_change_stop_the_run(project: Path) -> None:
    (project / "test_toy.py").write_text("def test_false():\n    assert not 'this'\n")
    assert "test_toy.py: fails without a change" in refused(project)
    assert "assert not 'this'" in (project / "build" / "unchanged.log").read_text()


@pytest.mark.slow
def test_what_a_file_reaches_is_found_again_only_if_it_can_differ(project: Path) -> None:
    def reached() -> dict[Path, list[int]]:
        done = tried(project, 1)
        assert done.returncode == 0, done.stderr
        kept = (project / "build" / "reach").iterdir()
        return {path: json.loads(path.read_text())["lines"].get("toy.py", []) for path in kept}

    before = reached()
    with (project / "test_slow.py").open("a") as file:
        file.write("def test_unused():\n    assert not toy.unused(0)\n")
    after = reached()
    assert set(before) < set(after)
    [added] = set(after) - set(before)
    assert 12 in after[added]
    (project / "toy.py").write_text(f"\n{_FILES['toy.py']}")
    moved = reached()
    assert [13 in moved[path] for path in sorted(set(moved) - set(after))].count(True) == 1
    assert len(moved) == len(after) + 2


def test_a_folder_outside_a_clone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "git cannot list its files; expected a clone" in refused(tmp_path)


def test_a_folder_within_a_clone_is_refused(project: Path) -> None:
    (project / "within").mkdir()
    assert "within: is not the root of its clone" in refused(project / "within")


@pytest.mark.slow
def test_tests_that_reach_nothing_stop_the_run(project: Path) -> None:
    (project / "test_toy.py").write_text("def test_true():\n    assert 'this'\n")
    assert "test_toy.py, test_slow.py: executes no line of the room" in refused(project)
