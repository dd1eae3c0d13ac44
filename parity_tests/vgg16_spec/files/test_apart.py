"""What crashes, hangs or takes all memory does so in another process, and is one line here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from vgg16_spec.files.apart import run_apart

LIMITS: Final[dict[str, Any]] = {"doing": "reading it", "seconds": 60, "memory": 1 << 30}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such limits")


def writing(text: str, number: int) -> None:
    print(text * number)


def failing(path: str) -> None:
    raise ValueError(f"{path} is\nbroken")


def silent(_: str) -> None:
    raise KeyError


def crashing(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaving(_: str) -> None:
    os._exit(3)


def hanging(_: str) -> None:
    time.sleep(600)


def greedy(_: str) -> None:
    bytearray(2 << 30)


def test_what_is_printed_there_is_written_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        run_apart(writing, "x", 3, output=output, **LIMITS)
    assert (tmp_path / "out").read_text() == "xxx\n"


@on_linux
def test_a_path_is_the_same_there_in_a_locale_without_its_letters(tmp_path: Path) -> None:
    path = tmp_path / "é"
    path.touch()
    code = (
        "import os; from vgg16_spec.files.apart import run_apart;"
        f"run_apart(os.stat, {str(path)!a}, **{LIMITS})"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-X", "utf8", "-c", code]
    subprocess.run(command, env=os.environ | plain, check=True)


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (failing, "f is broken"),
        (silent, "KeyError"),
        pytest.param(crashing, "reading it crashes the process", marks=on_linux),
        (leaving, "reading it crashes the process"),
        pytest.param(greedy, "reading it takes more memory than it should", marks=on_linux),
    ],
)
def test_what_goes_wrong_there_is_one_line_here(work: Any, problem: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared below
        run_apart(work, "f", **LIMITS)
    assert str(error.value) == problem


def test_work_without_an_end_is_ended() -> None:
    with pytest.raises(ValueError, match=r"^reading it takes too long$"):
        run_apart(hanging, "f", **LIMITS | {"seconds": 2})


def telling(pipe: str) -> None:
    Path(pipe).write_text(str(os.getpid()))
    time.sleep(600)


@on_linux
def test_the_work_ends_with_who_asked_for_it(tmp_path: Path) -> None:
    """Even if that was killed, and could do nothing about it."""
    os.mkfifo(tmp_path / "pipe")
    code = (
        "from parity_tests.vgg16_spec.files import test_apart as here\n"
        f"here.run_apart(here.telling, {str(tmp_path / 'pipe')!r}, **here.LIMITS)\n"
    )
    asking = subprocess.Popen([sys.executable, "-c", code])
    at_work = os.pidfd_open(int((tmp_path / "pipe").read_text()))
    asking.kill()
    asking.wait()
    # A descriptor of a process is readable once that has ended.
    with os.fdopen(at_work) as ended:
        import select

        assert select.select([ended], [], [], 30)[0]
