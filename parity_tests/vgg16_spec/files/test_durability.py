"""A writer that is stopped at any step, or that meets another, leaves the old or the new, whole."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parity_tests.support.failing.durability import stopped
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file, whole_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def a_file(path: Path, content: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(content)


def a_folder(path: Path, content: str) -> None:
    with whole_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "content").write_text(content)


def clear_up(write: Callable[[Path, str], None], path: Path) -> None:
    """Begin to write, as the next writer does, and stop."""
    with pytest.raises(KeyError), (whole_file if write is a_file else whole_folder)(path):
        raise KeyError


def content(path: Path) -> str | None:
    """What is at a path; None where nothing is."""
    if not path.exists():
        return None
    return (path if path.is_file() else path / "inner" / "content").read_text()


both = pytest.mark.parametrize("write", [a_file, a_folder])


@both
@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_stopped_at_any_step_a_writer_leaves_old_or_new_and_nothing_else(
    tmp_path: Path, write: Callable[[Path, str], None], old: str | None, error: BaseException
) -> None:
    def stop() -> None:
        raise error

    step = 0
    while True:
        path = tmp_path / str(step) / "x"
        path.parent.mkdir()
        if old is not None:
            write(path, old)
        try:
            with stopped(step, stop) as calls:
                write(path, "new")
        except (KeyboardInterrupt, BadInput, OSError):
            pass
        if len(calls) <= step:
            break
        where = f"{step}: {calls[step]}"
        assert content(path) in (old, "new"), where
        # What is left is a lock whose removal itself was stopped, or what an older one was.
        if calls[step] not in ("unlink", "rename"):
            assert {entry.name for entry in path.parent.iterdir()} <= {"x"}, where
        clear_up(write, path)
        assert {entry.name for entry in path.parent.iterdir()} <= {"x"}, where
        assert content(path) in (old, "new"), where
        step += 1
    assert step > len(("lock", "create", "open", "sync", "rename", "sync"))
    assert content(path) == "new"


@both
@pytest.mark.parametrize("old", ["old", None])
def test_killed_at_any_step_a_writer_leaves_old_or_new_to_the_next(
    tmp_path: Path, write: Callable[[Path, str], None], old: str | None
) -> None:
    step = 0
    while True:
        path = tmp_path / str(step) / "x"
        path.parent.mkdir()
        if old is not None:
            write(path, old)
        child = os.fork()
        if not child:
            with stopped(step, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                write(path, "new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        clear_up(write, path)
        assert content(path) in (old, "new"), step
        assert {entry.name for entry in path.parent.iterdir()} <= {"x"}, step
        step += 1
    assert step > len(("lock", "create", "open", "sync", "rename", "sync"))


@both
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("old", [None, 0o600, 0o666])
def test_what_is_written_has_the_permissions_of_a_new_file(
    tmp_path: Path, write: Callable[[Path, str], None], umask: int, old: int | None
) -> None:
    path = tmp_path / "x"
    if old is not None:
        write(path, "old")
        path.chmod(old | (0o700 if path.is_dir() else 0))
    before = os.umask(umask)
    try:
        write(path, "new")
    finally:
        os.umask(before)
    for entry in (path, *path.rglob("*")):
        new = 0o777 if entry.is_dir() else 0o666
        assert stat.S_IMODE(entry.stat().st_mode) == new & ~umask, entry


@pytest.mark.parametrize("when", ["before the older one is moved", "before the new one is put"])
def test_a_race_of_two_renames_that_is_lost_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "d"
    a_folder(path, "old")
    real, calls = os.rename, []

    def rename(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 1 and when == "before the older one is moved":
            real(source, tmp_path / "taken by another writer")
        if target == path and calls.count(path) == 1 and when == "before the new one is put":
            (path / "another's").mkdir(parents=True)
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    a_folder(path, "new")
    assert content(path) == "new"
    left = {entry.name for entry in tmp_path.iterdir()} - {"taken by another writer"}
    assert left == {"d"}


def test_a_race_that_is_always_lost_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d"
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if target == path:
            (path / "another's").mkdir(parents=True, exist_ok=True)
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(BadInput, match="is written by other processes all the time"):
        a_folder(path, "new")


def test_processes_that_fill_the_cache_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from vgg16_spec.checkpoint.seeded import seeded_checkpoint\n"
        "print('ready', flush=True)\ninput()\n"
        "for seed in range(5):\n    print(seeded_checkpoint('tiny', seed)['fc1.bias'].sum())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"VGG16_CACHE": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    assert len(set(outputs)) == 1
    assert len(outputs[0].split()) == len(range(5))
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
