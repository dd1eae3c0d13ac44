"""What reaches the terminal: results on stdout, everything else on stderr.

On a terminal tables are coloured and progress is animated by Rich; elsewhere both are plain lines,
so that a log stays readable.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

# The colour of a row by what stands in its second column.
_STYLES: Final = {"holds": "green", "broken": "bold red", "failed": "bold red", "not run": "dim"}


def say(message: str) -> None:
    """One line for people, on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def working(stage: str) -> Iterator[None]:
    """Show that a stage is under way, and how long it took."""
    start = time.perf_counter()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            progress.add_task(stage, total=None)
            yield
    else:
        say(f"{stage} …")
        yield
    say(f"{stage}: {time.perf_counter() - start:.1f} s")


@contextmanager
def receiving(stage: str) -> Iterator[Callable[[int, int | None], None]]:
    """The same for a stage that may fetch a file; yields what is told the bytes so far and in all.

    On a terminal they move a bar, elsewhere every tenth is a line.
    """
    start = time.perf_counter()
    if sys.stderr.isatty():
        from rich import progress as rich
        from rich.console import Console

        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.DownloadColumn(),
            rich.TransferSpeedColumn(),
            rich.TimeRemainingColumn(),
        )
        with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(stage, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        say(f"{stage} …")
        said = 0

        def line(done: int, total: int | None) -> None:
            nonlocal said
            if total and (tenth := 10 * done // total) > said:
                said = tenth
                say(f"{stage}: {10 * tenth} % of {total / 1e6:,.1f} MB")

        yield line
    say(f"{stage}: {time.perf_counter() - start:.1f} s")


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int
) -> None:
    """A table on stdout; the first ``text_columns`` are aligned left, the others right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if index < text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (columns, *rows)
    ]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        # No cell is ever cut: on a narrow terminal a line wraps.
        console = Console(soft_wrap=True)
        console.print(Text(lines[0], style="bold"))
        for row, line in zip(rows, lines[1:], strict=True):
            console.print(Text(line, style=_STYLES.get(row[1], "")))
    else:
        print("\n".join(lines))
