"""What a killed process left beside a file goes with the next writer; what a living one has stays.

Each process that is killed here kills itself, at a line of its own.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from parity_tests.support.helpers import Write
from vgg16_spec.files import neighbours
from vgg16_spec.files.atomic import check_writable, whole_file, whole_folder

posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
START = """
import os, signal, sys
from pathlib import Path
from vgg16_spec.files import atomic, neighbours
path = Path(sys.argv[1])
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""
FILE = "with atomic.whole_file(path) as t:\n    t.write_text('half')\n"
FOLDER = "with atomic.whole_folder(path) as t:\n    (t / 'half').touch()\n"
KILLED = {
    "before the lock": "neighbours.try_lock = die\n" + FILE,
    "while it writes": FILE + "    die()\n",
    "before the rename": "atomic.sync = die\n" + FILE,
    "after the rename": "Path.replace = lambda s, t: (os.rename(s, t), die())\n" + FILE,
    "while it checks": "Path.touch = die\natomic.check_writable(path)\n",
    "in a folder": FOLDER + "    die()\n",
}


def killed(code: str, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", START + code, path], check=False)
    assert done.returncode == -signal.SIGKILL


@posix
@pytest.mark.parametrize("when", KILLED)
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path, when: str) -> None:
    path = tmp_path / "a [name] *.h5"
    killed(KILLED[when], path)
    assert any(entry.name.startswith(".a [name] *.h5.") for entry in tmp_path.iterdir())
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "whole"


@posix
def test_checking_clears_up_too(tmp_path: Path) -> None:
    killed(KILLED["while it writes"], tmp_path / "f")
    check_writable(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_older_folder_comes_back_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with whole_folder(path) as temporary:
        (temporary / "old").write_text("old")
    between = "rename = Path.rename\nPath.rename = lambda s, t: (rename(s, t), die())\n"
    killed(between + FOLDER, path)
    assert not path.exists()
    with pytest.raises(KeyError), whole_folder(path):
        assert (path / "old").read_text() == "old"
        raise KeyError
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]
    assert [entry.name for entry in path.iterdir()] == ["old"]


@posix
def test_the_older_folder_goes_after_a_kill_that_left_both(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with whole_folder(path) as temporary:
        (temporary / "old").touch()
    code = (
        "import shutil\nremove = shutil.rmtree\n"
        "shutil.rmtree = lambda p, **k: die() if path.exists() and p.exists() else remove(p, **k)\n"
    )
    killed(code + FOLDER, path)
    assert len(list(tmp_path.iterdir())) == 3
    with whole_folder(path) as temporary:
        assert [entry.name for entry in path.iterdir()] == ["half"]
        (temporary / "new").touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]
    assert [entry.name for entry in path.iterdir()] == ["new"]


@pytest.mark.parametrize("write", [whole_file, whole_folder])
def test_a_living_writers_file_stays(tmp_path: Path, write: Write) -> None:
    code = START + (
        f"with atomic.{write.__name__}(path) as t:\n"
        "    (t if t.is_file() else t / 'first').write_text('first')\n"
        "    print('ready', flush=True)\n    input()\n"
    )
    path = tmp_path / "x"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        before = {entry.name for entry in tmp_path.iterdir()}
        assert len(before) == 2
        with write(path) as temporary:
            (temporary if temporary.is_file() else temporary / "second").write_text("second")
        assert {entry.name for entry in tmp_path.iterdir()} == before | {"x"}
        other.communicate("\n")
    assert other.returncode == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    assert (path if path.is_file() else path / "first").read_text() == "first"


@pytest.mark.parametrize("write", [whole_file, whole_folder])
def test_many_writers_at_once_leave_one_whole_result(tmp_path: Path, write: Write) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                with write(tmp_path / "x") as temporary:
                    place = temporary if temporary.is_file() else temporary / "content"
                    place.write_text(str(number) * 1000)
        except BaseException as error:  # told after the threads
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    content = (
        tmp_path / "x" if (tmp_path / "x").is_file() else tmp_path / "x" / "content"
    ).read_text()
    assert len(content) == 1000
    assert len(set(content)) == 1


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in (".f.lock", ".f.0123456.lock", ".g.01234567.lock", "f.01234567.lock", ".f.tmp"):
        (tmp_path / name).write_text("mine")
    before = {entry.name for entry in tmp_path.iterdir()}
    with whole_file(tmp_path / "f") as temporary:
        temporary.touch()
    assert {entry.name for entry in tmp_path.iterdir()} == before | {"f"}


def test_what_cannot_be_removed_is_left_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not now")

    with monkeypatch.context() as patched, whole_file(tmp_path / "f") as temporary:
        temporary.write_text("whole")
        patched.setattr(Path, "unlink", refuse)
    assert (tmp_path / "f").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 2
    check_writable(tmp_path / "f")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


@posix
def test_a_folder_is_cleared_up_whatever_was_to_be_written(tmp_path: Path) -> None:
    for when in ("while it writes", "after the rename"):
        killed(KILLED[when], tmp_path / f"{when}.npy")
    (tmp_path / ".mine").write_text("stays")
    with whole_file(tmp_path / "living") as temporary:
        neighbours.clear_up(tmp_path)
        found = sorted(entry.name for entry in tmp_path.iterdir())
        assert {".mine", "after the rename.npy"} < set(found)
        assert len(found) == 4
        temporary.write_text("whole")
    assert (tmp_path / "living").read_text() == "whole"
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == [".mine", "after the rename.npy", "living"]
