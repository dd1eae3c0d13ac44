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

from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")

# 128 + SIGPIPE
READER_GONE: Final = 141
# A command, with {weights}, {picture} and so on in it, and the files that it writes.
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
# The same of those that take seconds; of the other program too.
LONGER: Final[dict[str, tuple[str, ...]]] = {
    "check {model} --weights {weights}": (),
    "predict {picture} --weights {weights} --runtime torch": (),
    "evaluate {data} --weights {weights} --runtimes torch --explain 0 --out run": ("run",),
    "export --framework keras --weights {weights} --dense --out bundle": ("bundle",),
    "onnx-arbiter {model} --html a.html --repro r": ("a.html",),
    "onnx-arbiter {model} --against {model} --json": (),
    # Its own exit status is 1.
    "onnx-arbiter {model} --port {port}:judged --junit a.xml": ("a.xml",),
}
EVERY: Final = COMMANDS | LONGER
PORT: Final = """
import numpy as np
def run(images, weights):
    return np.ones((1, 1000))
def judged(inputs):
    return np.ones((1, 1000))
"""

# Unbuffered, the first line that is printed meets the stream, in the middle of a command.
buffered_or_not = pytest.mark.parametrize(
    ("command", "unbuffered"),
    [(command, False) for command in COMMANDS]
    + [(command, True) for command in COMMANDS if "{weights}" not in command]
    + [pytest.param(command, False, marks=pytest.mark.slow) for command in LONGER],
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def model(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with remembered_traces():
        return export_onnx("keras", tiny, tmp_path_factory.mktemp("own") / "m.onnx", batch=1)


def program(command: str) -> str:
    """Which of the two a command is of."""
    return "onnx-arbiter" if command.startswith("onnx-arbiter") else "vgg16"


@pytest.fixture
def run(tiny: Checkpoint, tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """Run a command in a process of its own, in the folder ``out``."""
    (tmp_path / "out").mkdir()
    for number, photograph in enumerate(PHOTOGRAPHS):
        place = tmp_path / "data" / str(number)
        place.mkdir(parents=True)
        (place / "p.png").symlink_to(photograph.path)
    (tmp_path / "mine.py").write_text(PORT)
    facts = {
        "weights": tiny.file,
        "picture": PHOTOGRAPHS[0].path,
        "port": tmp_path / "mine.py",
        "data": tmp_path / "data",
    }

    def run(
        command: str,
        stdout: IO[bytes] | int = subprocess.PIPE,
        *,
        stderr: IO[bytes] | int = subprocess.PIPE,
        unbuffered: bool = False,
        closed: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        module = "vgg16_parity"
        if "{model}" in command:  # made where it is needed
            facts["model"] = request.getfixturevalue("model")
        if program(command) == "onnx-arbiter":
            module, command = "onnx_arbiter", command.removeprefix("onnx-arbiter")
        return subprocess.run(
            [sys.executable, "-m", module, *command.format(**facts).split()],
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
    assert not any(line.startswith(f"{program(command)}:") for line in done.stderr.splitlines())
    # The results that are files are whole.
    assert written(tmp_path) == EVERY[command]


@buffered_or_not
def test_a_full_disk_behind_stdout_is_one_line_and_exit_status_2(
    run: Run, tmp_path: Path, command: str, unbuffered: bool
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(command, full, unbuffered=unbuffered)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last in (
        f"{program(command)}: stdout: No space left on device",
        f"{program(command)}: system: No space left on device",
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert written(tmp_path) == EVERY[command]


@pytest.mark.parametrize("command", EVERY)
def test_a_closed_stdout_is_refused_before_anything_runs(
    run: Run, tmp_path: Path, command: str
) -> None:
    done = run(command, closed=(1,))
    assert done.returncode == 2
    expected = f"{program(command)}: stdout: is closed; expected a file, a pipe or a terminal\n"
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
