"""An interrupt ends a command as an interrupt, whenever it comes, and no file is half there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.files.digest import digest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows"),
]

INTERRUPTED: Final = 130
# As parts of the time from the first line that it prints to its end.
MOMENTS: Final = (0.0, 0.3, 0.6, 0.9)
# With {weights} in it; what it writes is called `out`, with any suffix.
COMMANDS: Final = {
    "an export by PyTorch, which wraps whatever is raised": (
        "export --framework torch --weights {weights} --out out"
    ),
    "a port": "port {weights} out.weights.h5",
}


class End(NamedTuple):
    """How a command ended: its status, what it said, its seconds since the first line, its files.

    ``hidden`` are the names of files that are not whole yet.
    """

    status: int
    said: str
    seconds: float
    files: dict[str, str]
    hidden: tuple[str, ...]


def run(words: str, folder: Path, interrupt_after: float | None = None) -> End:
    """Run ``vgg16`` in a folder, and interrupt it so many seconds after its first line."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "vgg16_parity", *words.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        # A shell's background process ignores interrupts, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    start = time.monotonic()
    if interrupt_after is not None:
        time.sleep(interrupt_after)
        process.send_signal(signal.SIGINT)
    said = (first + process.stderr.read()).decode()
    process.stderr.close()
    status, seconds = process.wait(), time.monotonic() - start
    every = [path for path in folder.rglob("*") if path.is_file()]
    files = {str(path.relative_to(folder)): digest(path) for path in every}
    hidden = tuple(p.name for p in folder.iterdir() if p.name.startswith("."))
    return End(status, said, seconds, files, hidden)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_at_any_moment(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    words = COMMANDS[name].format(weights=tiny.file)
    whole = run(words, tmp_path / "whole")
    assert whole.status == 0, whole.said
    assert whole.files
    ends = [run(words, tmp_path / str(moment), moment * whole.seconds) for moment in MOMENTS]
    for end in ends:
        assert "Traceback" not in end.said, end.said
        if end.status == 0:  # it was done before
            assert end.files == whole.files
            continue
        assert end.status in (INTERRUPTED, -signal.SIGINT), end
        if end.status == INTERRUPTED:
            assert end.said.splitlines()[-1] == "vgg16: interrupted"
            assert end.hidden == ()
        visible = {file: sha for file, sha in end.files.items() if not file.startswith(".")}
        assert visible in ({}, whole.files), end
    # The first moment is long before the end.
    assert ends[0].status != 0
