"""The command line as a whole: help, version, streams, signals and exit statuses."""

from __future__ import annotations

import importlib.metadata
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_tests.support.helpers import Command

ROOT = Path(__file__).parents[3]


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\n"
        "from vgg16_parity.cli.app import app, main\n"
        "names = [command.callback.__name__ for command in app.registered_commands]\n"
        "for words in ([], *([name] for name in names), ['weights', 'fetch']):\n"
        "    sys.argv = ['vgg16', *words, '--help']\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert not end.code, words\n"
        "slow = {'numpy', 'h5py', 'PIL', 'safetensors', 'onnx', 'torch', 'keras', 'jax'}\n"
        "slow |= {'tensorflow', 'onnxruntime'}\n"
        "assert len(names) == 8\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage") == 9


def test_the_version_is_that_of_what_is_installed(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"vgg16-parity": "1.2.3"}.__getitem__)
    assert vgg16("--version") == (0, "vgg16 1.2.3\n", "")


def test_without_an_installation_the_version_is_that_of_the_source(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert vgg16("--version") == (0, f"vgg16 {project['version']}\n", "")


def test_without_a_command_the_help_is_shown_and_nothing_else(vgg16: Command) -> None:
    done = vgg16()
    assert "Usage" in done.out
    assert done.err.strip() == ""
    assert done.status == 2


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vgg16_parity", "summary"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "138,357,544" in done.stdout


def test_a_stream_that_cannot_show_a_character_is_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vgg16_parity", "summary"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"64\\xd7224\\xd7224" in done.stdout


def ended(body: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process, whose command does this instead."""
    code = (
        "import os, signal, sys\n"
        "from vgg16_parity.cli import app\n"
        f"def command(**_):\n{textwrap.indent(body, '    ')}\n"
        "app.app = command\n"
        "app.main()\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_fault_of_the_program_is_not_taken_for_broken_parity() -> None:
    done = ended("raise KeyError('\\x1b[2J')")
    assert done.returncode == 2
    *trace, last = done.stderr.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == r"KeyError: '\x1b[2J'"
    assert last == "vgg16: unexpected KeyError, a fault of this program; please report it"


@pytest.mark.parametrize("raised", ["RuntimeError('export failed')", "OSError(5, 'of a library')"])
@pytest.mark.parametrize("how", ["from interrupt", ""])
def test_what_a_library_makes_of_an_interrupt_is_one(raised: str, how: str) -> None:
    done = ended(
        f"try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt as interrupt:\n"
        f"    raise {raised} {how}"
    )
    assert (done.returncode, done.stderr) == (130, "vgg16: interrupted\n")


RUN = [sys.executable, "-m", "vgg16_parity", "parity", "--configuration", "tiny", "--quick"]


def as_in_a_terminal() -> None:
    """A shell without job control has a process in the background ignore SIGINT, nohup SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A parity run whose first worker has begun, with its temporary files in ``tmp_path``."""
    with subprocess.Popen(
        RUN,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_a_terminal,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("torch"):
                break
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("name", "said"), [("SIGTERM", []), ("SIGHUP", []), ("SIGINT", ["vgg16: interrupted"])]
)
def test_a_run_that_a_signal_ends_takes_its_worker_and_its_files_along(
    running: subprocess.Popen[str], tmp_path: Path, name: str, said: list[str]
) -> None:
    sent = getattr(signal, name)
    running.send_signal(sent)
    _, err = running.communicate()
    assert running.returncode == 128 + sent
    assert err.splitlines() == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_of_a_run_that_is_killed_nothing_stays(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Its worker ends at once, and the next run removes its files."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    while not (workers := children.read_text().split()):
        time.sleep(0.01)
    handle = os.pidfd_open(int(workers[0]))
    running.kill()
    running.wait()
    with os.fdopen(handle) as ended:  # readable once the process has ended
        assert select.select([ended], [], [], 30)[0]

    def left() -> list[Path]:  # PyTorch leaves an empty folder of its own
        return list(tmp_path.glob(".vgg16*"))

    assert left() != []
    again = [*RUN, "--runtimes", "torch"]
    subprocess.run(again, env=os.environ | {"TMPDIR": str(tmp_path)}, check=True)
    assert left() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_run_that_is_to_outlive_its_terminal_does() -> None:
    """``nohup`` has it ignore the signal, and so it stays ignored."""
    code = (
        "import os, signal, sys\n"
        "from vgg16_parity.cli import app\n"
        "app.app = lambda **_: os.kill(os.getpid(), signal.SIGHUP) or 0\n"
        "app.main()\n"
    )
    ignoring = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        check=False,
    )
    assert ignoring.returncode == 0
    by_default = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=as_in_a_terminal, check=False
    )
    assert by_default.returncode == 128 + 1
