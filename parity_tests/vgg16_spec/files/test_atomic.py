"""What is written is whole or absent, and a full or read-only disk is one clear line."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from parity_tests.support.helpers import Write
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files import atomic
from vgg16_spec.files.atomic import check_writable, whole_file, whole_folder


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


def test_a_replaced_folder_does_not_come_back_where_another_writer_moves_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_folder(tmp_path / "d") as temporary:
        (temporary / "old").touch()

    def moved_meanwhile(path: Path) -> None:
        if path == tmp_path:
            (tmp_path / "d").rename(tmp_path / "aside")

    monkeypatch.setattr(atomic, "sync", moved_meanwhile)
    with whole_folder(tmp_path / "d") as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["aside"]


def test_half_of_a_replaced_folder_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str) -> None:
        with whole_folder(tmp_path / "d") as temporary:
            for number in range(3):
                (temporary / f"{name}{number}").touch()

    def killed(folder: Path) -> None:
        next(folder.iterdir()).unlink()
        raise KeyboardInterrupt

    write("old")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        write("new")
    (tmp_path / "d").rename(tmp_path / "aside")
    with pytest.raises(KeyError), whole_folder(tmp_path / "d"):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["aside"]


def test_a_broken_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "d") as temporary:
        (temporary / "old").touch()
    with pytest.raises(KeyError), whole_folder(tmp_path / "d") as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_replaced_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "d" / "inner")
    with whole_folder("..") as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["new"]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_folder_that_cannot_be_moved_aside_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It is where a file system is mounted, or of a lower layer of a container's."""
    (tmp_path / "d" / "old").mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with (
        monkeypatch.context() as patch,
        pytest.raises(BadInput, match="d: cannot be written"),
        whole_folder(tmp_path / "d"),
    ):
        patch.setattr(Path, "rename", refuse)
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["old"]


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


def test_an_error_that_is_no_refusal_to_write_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), whole_file(tmp_path / "f"):
        raise ConnectionResetError(errno.ECONNRESET, "while it was fetched")
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_written_meanwhile_is_told_though_the_end_hears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def sync(path: Path) -> None:
        if not tried.is_set():
            tried.set()
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(atomic, "sync", sync)
    with pytest.raises(BadInput, match="no space left"), whole_file(tmp_path / "x") as temporary:
        temporary.write_text("much")
        assert tried.wait(10)
    assert list(tmp_path.iterdir()) == []
