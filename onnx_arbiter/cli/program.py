"""How a run of a command line ends: streams, signals, warnings, and what went wrong in a line."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from onnx_arbiter.cli.console import say, show
from vgg16_spec.errors import BadInput
from vgg16_spec.text import one_line, visible

# The descriptor of stderr.
_LAST_STREAM: Final = 2
_INTERRUPTED: Final = 128 + signal.SIGINT
# 128 + SIGPIPE, which Windows lacks.
_READER_GONE: Final = 128 + 13

_FORMAT_WARNING: Final = warnings.formatwarning


def run(app: Callable[..., object], name: str) -> NoReturn:
    """Run a command line and exit.

    Exit status: what the command returns; 2, invalid input, output that cannot be written, or a
    fault of this program (the last line on stderr says why); 130, interrupted; 128 + signal number,
    terminated, or the reader of stdout is gone.

    Args:
        app: a Typer application.
        name: the program's, in messages.
    """
    problem = _with_all_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What they say of a picture's size or metadata, or of their own future, is no result. Not where
    # the packages are imported: there, who imports them decides.
    warnings.filterwarnings("ignore", module=r"(PIL|torch)\b")
    warnings.formatwarning = _format_warning
    # Of libraries whose loggers nobody has given a handler.
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LogFormatter())
    # Exit through ``finally`` blocks: they remove temporary files and stop worker processes.
    for each in ("SIGTERM", "SIGHUP"):  # Windows lacks the second
        if (number := getattr(signal, each, None)) and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    status = _run(app, name) if problem is None else _fail(name, str(problem))
    for stream in (sys.stdout, sys.stderr):
        _is_stuck(stream)
    sys.exit(status)


def _with_all_streams() -> BadInput | None:
    """Open the streams that the shell closed; what is wrong if stdout is one of them.

    Otherwise the next files that are opened would take their descriptors, and print would write
    what is meant for stderr to stdout.
    """
    if sys.stdout is not None and sys.stderr is not None:
        return None
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        pass
    os.close(descriptor)
    closed = sys.stdout is None
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    return BadInput("stdout", "is closed", "a file, a pipe or a terminal") if closed else None


def _run(app: Callable[..., object], name: str) -> int:
    """Run the command, and return the exit status."""
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _READER_GONE
    except SystemExit as end:
        # Typer's answer to a broken pipe is 1, which means something else here.
        if isinstance(end.__context__, BrokenPipeError):
            return _READER_GONE
        raise
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except Exception as error:
        if not _follows_interrupt(error):
            return _fail(name, _explained(error))
        status = _INTERRUPTED
    if status == _INTERRUPTED:  # which Typer returns for a KeyboardInterrupt
        return _fail(name, "interrupted", status)
    return status if isinstance(status, int) else 0


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A library's warning, which may quote what a file says."""
    return visible(_FORMAT_WARNING(message, category, filename, lineno, line), keep="\n")


class _LogFormatter(logging.Formatter):
    """The same for what a library logs."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n")


def _explained(error: Exception) -> str:
    """What went wrong, in a line; where it is a fault of this program, after where in it."""
    match error:
        case BadInput():
            return str(error)
        case TyperException():
            return error.format_message()
        case OSError():
            where = error.filename or ("stdout" if _is_stuck(sys.stdout) else "system")
            return f"{where}: {error.strerror or error}"
        case MemoryError():
            return f"memory: {str(error) or 'not enough'}"
    with suppress(OSError):
        sys.stderr.write(visible(traceback.format_exc(), keep="\n"))
    return f"unexpected {type(error).__name__}, a fault of this program; please report it"


def _follows_interrupt(error: BaseException | None) -> bool:
    """Whether an error is what a library made of an interrupt: PyTorch's export wraps any."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_stuck(stream: TextIO) -> bool:
    """Whether what a stream still holds cannot be written; that is dropped.

    The interpreter flushes the streams once more when it exits; that must not fail again.
    """
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False


def _fail(name: str, message: str, status: int = 2) -> int:
    if message:  # empty if the help was shown instead
        with suppress(OSError):  # the status remains
            say(f"{name}: {one_line(message)}")
    return status


def print_version(name: str) -> NoReturn:
    """Print the installed version, or the source tree's if nothing is installed, and exit."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    try:
        show(f"{name} {version('vgg16-parity')}")
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        facts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        show(f"{name} {facts['version']}")
    raise typer.Exit
