"""Output of the commands: results on stdout, everything else on stderr.

Nothing else prints: what a file, a folder or a library says reaches a terminal through ``visible``.
On a terminal, Rich colours tables and animates progress; elsewhere both are plain lines, so that
logs stay readable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from vgg16_spec.text import json_text, visible

# Colour of a row by the text in its second column.
_STYLES: Final = {
    "holds": "green",
    "broken": "bold red",
    "failed": "bold red",
    "not run": "dim",
    "not judged": "dim",
}
# Rich's columns of a stage that fetches a file.
_TRANSFER: Final = ("BarColumn", "DownloadColumn", "TransferSpeedColumn", "TimeRemainingColumn")
# The same of one that does things one by one.
_COUNT: Final = ("BarColumn", "MofNCompleteColumn", "TimeRemainingColumn")


def say(message: str) -> None:
    """Print one line for people, on stderr."""
    print(visible(message), file=sys.stderr, flush=True)


def show(line: str = "") -> None:
    """Print one line of a result, on stdout."""
    print(visible(line))


@contextmanager
def working(stage: str) -> Iterator[None]:
    """Show that a stage is running, and then how long it took."""
    with receiving(stage, ("SpinnerColumn", "TimeElapsedColumn")):
        yield


@contextmanager
def counting(stage: str, things: str) -> Iterator[Callable[[int, int | None], None]]:
    """The same for a stage that does ``things`` one by one; `receiving` says what it yields."""
    with receiving(stage, _COUNT, lambda total: f"{total:,} {things}") as progress:
        yield progress


@contextmanager
def receiving(
    stage: str,
    columns: Sequence[str] = _TRANSFER,
    amount: Callable[[int], str] = lambda total: f"{total / 1e6:,.1f} MB",
) -> Iterator[Callable[[int, int | None], None]]:
    """The same for a stage that may fetch a file.

    Yields a function to call with the bytes received so far and in total. It moves a bar on a
    terminal; elsewhere it prints a line at every tenth, of the ``amount`` that the total is.
    """
    start = time.perf_counter()
    if sys.stderr.isatty():
        from rich import progress
        from rich.console import Console

        # A name in brackets is no markup.
        text = progress.TextColumn("{task.description}", markup=False)
        made = [getattr(progress, column)() for column in columns]
        with progress.Progress(text, *made, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(visible(stage), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        say(f"{stage} …")
        printed = 0

        def print_tenth(done: int, total: int | None) -> None:
            nonlocal printed
            if total and (tenth := 10 * done // total) > printed:
                printed = tenth
                say(f"{stage}: {10 * tenth} % of {amount(total)}")

        yield print_tenth
    say(f"{stage}: {time.perf_counter() - start:.1f} s")


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape with × between the axes; an axis of any size, the batch, is N."""
    return "×".join("N" if size is None else str(size) for size in shape)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    print(json_text(document))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int
) -> None:
    """Print a table on stdout, its first ``text_columns`` aligned left and the others right."""
    cells = [list(map(visible, row)) for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = "<" * text_columns + ">" * (len(columns) - text_columns)
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    lines = [form.format(*row).rstrip() for row in cells]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        # Wrap lines on a narrow terminal; never cut a cell.
        console = Console(soft_wrap=True)
        console.print(Text(lines[0], style="bold"))
        for row, line in zip(rows, lines[1:], strict=True):
            console.print(Text(line, style=_STYLES.get(row[1], "")))
    else:
        print("\n".join(lines))
