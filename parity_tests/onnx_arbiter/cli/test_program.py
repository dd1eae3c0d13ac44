"""How a run ends is its exit status and at most one line; in this process, without a shell."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from onnx_arbiter.cli import program
from parity_tests.support.foreign_text import HOSTILE
from vgg16_spec.errors import BadInput

App = Callable[..., object]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a run sets for the whole process."""
    numbers = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)
    handlers = {number: signal.getsignal(number) for number in numbers}
    shown = warnings.formatwarning
    last = logging.lastResort
    formatter = last.formatter if last is not None else None
    with warnings.catch_warnings():
        yield
    warnings.formatwarning = shown
    if last is not None:
        last.setFormatter(formatter)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def ended(app: App, capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """The exit status, and the last line on stderr."""
    with pytest.raises(SystemExit) as end:
        program.run(app, "prog")
    lines = capfd.readouterr().err.splitlines()
    return end.value.code, lines[-1] if lines else ""


def raising(error: BaseException, cause: BaseException | None = None) -> App:
    def app(*, standalone_mode: bool) -> None:
        assert not standalone_mode
        raise error from cause

    return app


def returning(value: object) -> App:
    return lambda standalone_mode: value if not standalone_mode else None


def amid(first: BaseException, second: BaseException) -> App:
    """Raises the second while it handles the first."""

    def app(*, standalone_mode: bool) -> None:
        try:
            raise first
        except BaseException:
            assert not standalone_mode
            raise second  # noqa: B904 - the context is what is tested

    return app


INTERRUPTED = (130, "prog: interrupted")
ENDS: dict[str, tuple[App, tuple[object, str]]] = {
    "nothing": (returning(None), (0, "")),
    "a text": (returning("text"), (0, "")),
    "0": (returning(0), (0, "")),
    "1": (returning(1), (1, "")),
    "Ctrl+C": (raising(KeyboardInterrupt()), INTERRUPTED),
    "Ctrl+C, as Typer returns it": (returning(130), INTERRUPTED),
    "Ctrl+C at a question": (raising(typer.Abort()), INTERRUPTED),
    "Ctrl+C as a cause": (raising(RuntimeError("no"), KeyboardInterrupt()), INTERRUPTED),
    "Ctrl+C as a context": (amid(KeyboardInterrupt(), ValueError("no")), INTERRUPTED),
    "a reader that is gone": (raising(BrokenPipeError()), (141, "")),
    "a reader that is gone, as Typer ends": (amid(BrokenPipeError(), SystemExit(1)), (141, "")),
    "an end of its own": (raising(SystemExit(3)), (3, "")),
    "bad input": (
        raising(BadInput("x", "is bad", "good")),
        (2, "prog: x: is bad; expected good"),
    ),
    "a file that is missing": (
        raising(FileNotFoundError(2, "No such file", "f.onnx")),
        (2, "prog: f.onnx: No such file"),
    ),
    "the system": (raising(OSError(28, "No space left")), (2, "prog: system: No space left")),
    "the system without a number": (raising(OSError("odd")), (2, "prog: system: odd")),
    "no memory": (raising(MemoryError()), (2, "prog: memory: not enough")),
    "no memory for something": (raising(MemoryError("a")), (2, "prog: memory: a")),
    "a fault": (
        raising(ValueError("no")),
        (2, "prog: unexpected ValueError, a fault of this program; please report it"),
    ),
}


@pytest.mark.parametrize("kind", ENDS)
def test_every_end_has_its_status_and_its_line(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    app, expected = ENDS[kind]
    assert ended(app, capfd) == expected


def test_a_fault_is_told_with_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.run(raising(ValueError(f"odd {HOSTILE}")), "prog")
    said = capfd.readouterr().err
    assert said.startswith("Traceback")
    assert "in app\n" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_run_by_its_number(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(reason="Windows has no such signal")

    def app(*, standalone_mode: bool) -> None:
        assert not standalone_mode
        signal.raise_signal(number)

    signal.signal(number, signal.SIG_DFL)  # under nohup, one is ignored
    assert ended(app, capfd) == (128 + number, "")
    # One that the shell lets a program ignore stays ignored.
    signal.signal(number, signal.SIG_IGN)
    assert ended(app, capfd) == (0, "")


def test_what_libraries_say_does_nothing_to_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def app(*, standalone_mode: bool) -> None:
        assert not standalone_mode
        sys.stderr.write(warnings.formatwarning(f"w{HOSTILE}", UserWarning, "f", 1))
        assert logging.lastResort is not None
        record = logging.LogRecord("x", logging.WARNING, "f", 1, f"l{HOSTILE}", None, None)
        sys.stderr.write(logging.lastResort.format(record) + "\n")

    with pytest.raises(SystemExit):
        program.run(app, "prog")
    said = capfd.readouterr().err
    assert "f:1: UserWarning: w" in said
    assert "\nl" in said
    assert "\x1b" not in said


class Full(io.StringIO):
    """A stream onto a full disk."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def flush(self) -> None:
        raise OSError(28, "No space left on device")

    def fileno(self) -> int:
        return self._descriptor


@pytest.mark.parametrize("app", [returning(0), raising(OSError(28, "No space left on device"))])
def test_what_a_full_disk_cannot_take_is_dropped_and_said(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "out").open("wb") as file:
        monkeypatch.setattr(sys, "stdout", Full(file.fileno()))
        assert ended(app, capfd) == (2, "prog: stdout: No space left on device")
        # What the interpreter flushes when it exits must not fail again.
        assert os.path.samestat(os.fstat(file.fileno()), Path(os.devnull).stat())
