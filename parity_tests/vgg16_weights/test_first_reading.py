"""What crashes, hangs or takes all memory does so in another process, and is one line here."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from vgg16_weights import first_reading
from vgg16_weights.first_reading import check_readable, read_apart


def good(path: Path, number: int) -> None:
    assert path.read_bytes() == b"x"
    assert number == 7


def failing(path: Path) -> None:
    raise ValueError(f"{path.name} is\nbroken")


def crashing(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hanging(_: Path) -> None:
    time.sleep(60)


def greedy(_: Path) -> None:
    bytearray(1 << 40)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"x")
    return tmp_path / "f"


def test_a_file_that_is_read_to_its_end_passes(file: Path) -> None:
    check_readable(good, file, 7)


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (failing, "^f is broken$"),
        pytest.param(
            crashing,
            "crashes the reader",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="needs signals"),
        ),
        (hanging, "takes too long"),
        (greedy, "MemoryError"),
    ],
)
def test_what_goes_wrong_there_is_one_line_here(
    file: Path, monkeypatch: pytest.MonkeyPatch, read: object, problem: str
) -> None:
    monkeypatch.setattr(first_reading, "_SECONDS", 3)
    with pytest.raises(ValueError, match=problem) as error:
        check_readable(read, file)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def writing(path: Path) -> None:
    sys.stdout.buffer.write(path.read_bytes() * 3)


def test_what_is_read_there_is_written_to_a_file(file: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        read_apart(writing, file, output, seconds=60, memory=1 << 30)
        for read, problem in ((failing, "f is broken"), (crashing, "crashes the reader")):
            with pytest.raises(ValueError, match=problem):
                read_apart(read, file, output, seconds=60, memory=1 << 30)
        with pytest.raises(ValueError, match="takes too long"):
            read_apart(hanging, file, output, seconds=1, memory=1 << 30)
    assert (tmp_path / "out").read_bytes() == b"xxx"


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    check_readable(good, file, 7)
    file.write_bytes(b"changed")
    with pytest.raises(ValueError, match="AssertionError"):
        check_readable(good, file, 7)
