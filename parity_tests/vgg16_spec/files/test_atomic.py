"""What is written is whole or absent, and a full or read-only disk is one clear line.

What a killed process left beside a file goes with the next writer; a living one is waited for. Each
process that is killed here kills itself, at a line of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from parity_tests.support.helpers import Write
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, whole_file, whole_folder

posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
START = """
import os, signal, sys
from pathlib import Path
from vgg16_spec.files import atomic
path = Path(sys.argv[1])
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""
FILE = "with atomic.whole_file(path) as t:\n    t.write_text('half')\n"
FOLDER = "with atomic.whole_folder(path) as t:\n    (t / 'half').touch()\n"
KILLED = {
    "before it writes": "atomic._clear = die\n" + FILE,
    "while it writes": FILE + "    die()\n",
    "before the rename": "atomic.sync = die\n" + FILE,
    "after the rename": "Path.replace = lambda s, t: (os.rename(s, t), die())\n" + FILE,
    "while it checks": "touch = Path.touch\n"
    "Path.touch = lambda p, **k: (touch(p, **k), die())\natomic.check_writable(path)\n",
    "in a folder": FOLDER + "    die()\n",
}


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "f") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "f").exists()
        assert temporary.parent == tmp_path
    assert (tmp_path / "f").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_broken_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    with pytest.raises(KeyError), whole_file(tmp_path / "f") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert (tmp_path / "f").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with whole_folder(tmp_path / "d") as temporary:
            (temporary / text).write_text(text)
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_broken_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "d") as temporary:
        (temporary / "old").touch()
    with pytest.raises(KeyError), whole_folder(tmp_path / "d") as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("write", [whole_file, whole_folder])
def test_a_missing_folder_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(BadInput, match=r"none: no such folder"), write(tmp_path / "none" / "x"):
        pass


@pytest.mark.parametrize("write", [whole_file, whole_folder])
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_takes_no_file_is_refused(write: Write) -> None:
    # Not even root writes there.
    with pytest.raises(BadInput, match="cannot be written"), write("/proc/self/x"):
        pass
    with pytest.raises(BadInput, match="cannot be written"):
        check_writable("/proc/self/x")


def test_checking_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="is a folder"):
        check_writable(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
@pytest.mark.parametrize("ending", ["safetensors", "pth", "weights.h5"])
def test_a_full_disk_is_one_line_and_nothing_is_left(
    tiny: Checkpoint, tmp_path: Path, ending: str
) -> None:
    # A limit on the size of files stops the write in its middle, as a full disk does.
    code = (
        "import resource, signal, sys\n"
        "from vgg16_parity.cli.app import main\n"
        "import h5py, numpy, safetensors\n"
        "if sys.argv[-1].endswith('pth'):\n    import torch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "main()\n"
    )
    destination = tmp_path / f"w.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", code, "port", str(tiny.file), str(destination)],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith(f"vgg16: {destination}: cannot be written")
    assert last.endswith("expected a writable folder with enough free space")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [whole_file, whole_folder])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_folder_is_refused(tmp_path: Path, write: Write) -> None:
    if os.geteuid() == 0:
        pytest.skip(reason="root writes everywhere")
    tmp_path.chmod(0o500)
    try:
        refusal = pytest.raises(BadInput, match=r"cannot be written \(Permission denied\)")
        with refusal, write(tmp_path / "x"):
            pass
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes and links")
def test_devices_and_pipes_are_refused_and_links_are_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(BadInput, match="is a device or a pipe"), whole_file(special):
            pass
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with whole_file(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_an_error_from_elsewhere_is_not_blamed_on_the_destination(tmp_path: Path) -> None:
    try:
        raise PermissionError(13, "elsewhere")
    except OSError:
        with pytest.raises(KeyError), whole_file(tmp_path / "f"):
            raise KeyError("a bug") from None


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
def test_a_second_writer_waits_for_a_living_one(tmp_path: Path, write: Write) -> None:
    code = START + (
        f"with atomic.{write.__name__}(path) as t:\n"
        "    (t if t.is_file() else t / 'content').write_text('first')\n"
        "    print('ready', flush=True)\n    input()\n"
    )
    path = tmp_path / "x"
    command = [sys.executable, "-c", code, str(path)]
    order: list[str] = []

    def second() -> None:
        with write(path) as temporary:
            order.append("second")
            place = temporary if temporary.is_file() else temporary / "content"
            place.write_text("second")

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        order.append("first")
        other.communicate("\n")
    waiting.join()
    assert other.returncode == 0
    assert order == ["first", "second"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    assert (path if path.is_file() else path / "content").read_text() == "second"


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
    for name in (".f.lock", ".f.tmp", ".g.vgg16-tmp", "f.vgg16-tmp", ".f.vgg16-tmp.1"):
        (tmp_path / name).write_text("mine")
    before = {entry.name for entry in tmp_path.iterdir()}
    with whole_file(tmp_path / "f") as temporary:
        temporary.touch()
    assert {entry.name for entry in tmp_path.iterdir()} == before | {"f"}
