"""The command line that every benchmark has, and the files that it writes."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness.measure import Limits
from vgg16_spec.files.atomic import whole_file


def parser(package: str) -> argparse.ArgumentParser:
    """``python -m PACKAGE`` with its docstring as help, and ``--markdown`` and ``--date``."""
    made = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=import_module(package).__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    page = f"docs/measured/{package.rpartition('.')[2]}.md"
    made.add_argument("--markdown", type=Path, help=f"write the page here, for example {page}")
    today = datetime.date.today().isoformat()
    made.add_argument("--date", default=today, help="the date on the page (default: today)")
    return made


def add_limits(made: argparse.ArgumentParser) -> None:
    """Add ``--time-limit``, ``--memory-limit``, ``--folder`` and ``--json``."""
    add: Callable[..., object] = made.add_argument
    add("--time-limit", type=float, default=300, help="seconds that a process may take")
    add("--memory-limit", type=float, default=18, help="GiB of resident memory per process")
    add("--folder", type=Path, help="make the temporary folder here")
    add("--json", type=Path, help="write every figure here")


def limits(chosen: argparse.Namespace) -> Limits:
    """The limits that ``--time-limit`` and ``--memory-limit`` set."""
    return Limits(chosen.time_limit, int(chosen.memory_limit * 2**30))


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """An argument that lists some of the known names, separated by commas, in the known order."""

    def read(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := [name for name in asked if name not in known]:
            expected = f"expected some of {', '.join(known)}"
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; {expected}")
        return [name for name in known if name in asked]

    return read


def line(package: str, arguments: Sequence[str] | None) -> str:
    """The command as it was given, for the page that it writes."""
    return shlex.join(
        ["python", "-m", package, *(sys.argv[1:] if arguments is None else arguments)]
    )


def say(stage: str) -> AbstractContextManager[None]:
    """Name the stage that begins on stderr."""
    print(stage, file=sys.stderr, flush=True)
    return nullcontext()


def publish(
    page: str, chosen: argparse.Namespace, document: Mapping[str, Any] | None = None
) -> None:
    """Print a page; write it to ``--markdown``, and the document to ``--json``, where given."""
    print(page, end="")
    if chosen.markdown is not None:
        write(chosen.markdown, page)
    if document is not None and chosen.json is not None:
        write(chosen.json, json.dumps(document, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a text file whole, or leave it as it was."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
