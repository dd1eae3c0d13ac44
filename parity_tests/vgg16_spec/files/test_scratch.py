"""Temporary folders leave nothing behind, however the process ends that had them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vgg16_spec.errors import BadInput
from vgg16_spec.files.scratch import scratch_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks there")

_KILLED = """
import os, signal
from vgg16_spec.files.scratch import scratch_folder
with scratch_folder("vgg16-test") as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("x")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_it_is_private_and_removed_after_use(place: Path) -> None:
    with scratch_folder("vgg16-test") as folder:
        assert folder.parent == place
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "file").write_text("x")
    assert list(place.iterdir()) == []


def test_it_is_removed_after_a_failure(place: Path) -> None:
    with pytest.raises(KeyError), scratch_folder("vgg16-test") as folder:
        (folder / "file").write_text("x")
        raise KeyError
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_the_next_one_removes(place: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = Path(killed.stdout.strip())
    assert (left / "inner" / "file").is_file()
    with scratch_folder("vgg16-other"):
        assert left.is_dir()
    with scratch_folder("vgg16-test") as folder:
        assert not left.exists()
        # Not one that is in use.
        with scratch_folder("vgg16-test") as second:
            assert folder.is_dir()
            assert second != folder
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_place_is_named(place: Path, number: int) -> None:
    with pytest.raises(BadInput) as refusal, scratch_folder("vgg16-test"):
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise RuntimeError("the library failed") from error
    assert str(refusal.value).startswith(f"{place}: the folder of temporary files is full (")
    assert str(refusal.value).endswith("; expected room, or another folder in TMPDIR")


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")
def test_a_place_whose_name_is_no_text_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = place / os.fsdecode(b"\xff")
    odd.mkdir()
    monkeypatch.setenv("TMPDIR", str(odd))
    said = "has a name that is not UTF-8; expected another folder"
    with pytest.raises(BadInput, match=said), scratch_folder("vgg16-test"):
        pytest.fail("it was used")
    assert list(odd.iterdir()) == []


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), scratch_folder("vgg16-test"):
        Path("elsewhere").stat()


def test_no_place_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    said = "TMPDIR: no folder for temporary files can be written"
    with pytest.raises(BadInput, match=said), scratch_folder("vgg16-test"):
        pass
