"""Streams that are closed, full or without a reader: no output is lost with exit status 0 or 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import pytest

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")

# 128 + SIGPIPE
READER_GONE: Final = 141
# A command, with {weights}, {picture} and {port} in it, and the files that it writes.
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "": (),
    "--help": (),
    "--version": (),
    "weights list": (),
    # Output that is larger than Python's buffer is written before the end.
    "summary --json": (),
    "weights verify {weights}": (),
    "port {weights} ported.weights.h5": ("ported.weights.h5",),
    "draw --configuration tiny --out drawn.svg": ("drawn.svg",),
    # Its own exit status is 1.
    "parity --weights {weights} --images {picture} --quick --port {port}:run --report r.json": (
        "r.json",
    ),
}
PORT: Final = "import numpy as np\ndef run(images, weights):\n    return np.ones((1, 1000))\n"

# Unbuffered, the first line that is printed meets the stream, in the middle of a command.
buffered_or_not = pytest.mark.parametrize(
    ("command", "unbuffered"),
    [(command, False) for command in COMMANDS]
    + [(command, True) for command in COMMANDS if "{weights}" not in command],
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tiny: Checkpoint, tmp_path: Path) -> Run:
    """Run ``vgg16`` in a process of its own, in the folder ``out``."""
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.py").write_text(PORT)
    facts = {
        "weights": tiny.file,
        "picture": PHOTOGRAPHS[0].path,
        "port": tmp_path / "mine.py",
    }

    def run(
        command: str,
        stdout: IO[bytes] | int = subprocess.PIPE,
        *,
        stderr: IO[bytes] | int = subprocess.PIPE,
        unbuffered: bool = False,
        closed: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vgg16_parity", *command.format(**facts).split()],
            stdout=stdout,
            stderr=stderr,
            text=True,
            check=False,
            cwd=tmp_path / "out",
            env=os.environ | {"PYTHONUNBUFFERED": "1" if unbuffered else ""},
            preexec_fn=lambda: close(closed),
        )

    return run


def close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def written(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in (folder / "out").iterdir()))


@buffered_or_not
def test_a_reader_that_has_left_is_the_shells_status_for_it(
    run: Run, tmp_path: Path, command: str, unbuffered: bool
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(command, writer, unbuffered=unbuffered)
    finally:
        os.close(writer)
    assert done.returncode == READER_GONE, done.stderr
    assert "Traceback" not in done.stderr
    assert not any(line.startswith("vgg16:") for line in done.stderr.splitlines())
    # The results that are files are whole.
    assert written(tmp_path) == COMMANDS[command]


@buffered_or_not
def test_a_full_disk_behind_stdout_is_one_line_and_exit_status_2(
    run: Run, tmp_path: Path, command: str, unbuffered: bool
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(command, full, unbuffered=unbuffered)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last in (
        "vgg16: stdout: No space left on device",
        "vgg16: system: No space left on device",
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert written(tmp_path) == COMMANDS[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_refused_before_anything_runs(
    run: Run, tmp_path: Path, command: str
) -> None:
    done = run(command, closed=(1,))
    assert done.returncode == 2
    expected = "vgg16: stdout: is closed; expected a file, a pipe or a terminal\n"
    assert done.stderr == expected
    assert written(tmp_path) == ()


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_no_file_takes_the_place_of_a_closed_stream(closed: tuple[int, ...]) -> None:
    # What a library or a child process prints would become part of the file.
    code = (
        "import sys\nfrom onnx_arbiter.cli import program\nprogram._with_all_streams()\n"
        "sys.exit(open(sys.executable, 'rb').fileno())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, preexec_fn=lambda: close(closed)
    )
    assert done.returncode > max(closed)


def test_with_stdout_and_stderr_closed_the_exit_status_remains(run: Run) -> None:
    assert run("summary", closed=(0, 1, 2)).returncode == 2


def test_what_is_meant_for_a_closed_stderr_does_not_go_elsewhere(
    run: Run, tmp_path: Path, tiny: Checkpoint
) -> None:
    done = run("port {weights} ported.weights.h5 --json", closed=(0, 2))
    assert done.returncode == 0
    assert json.loads(done.stdout)["file"] == "ported.weights.h5"
    again = run("port {weights} again.weights.h5 --json")
    assert again.returncode == 0
    files = [
        (tmp_path / "out" / name).read_bytes() for name in ("ported.weights.h5", "again.weights.h5")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "command", ["port {weights} ported.weights.h5", "summary --configuration F"]
)
def test_a_full_disk_behind_stderr_is_no_traceback_and_exit_status_2(
    run: Run, command: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        assert run(command, stderr=full).returncode == 2


def test_a_reader_of_stderr_that_has_left_is_the_shells_status_for_it(run: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run("port {weights} ported.weights.h5", stderr=writer).returncode == READER_GONE
    finally:
        os.close(writer)
