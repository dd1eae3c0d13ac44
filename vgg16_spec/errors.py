"""The one exception that means "what you gave me cannot be used"."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from vgg16_spec.text import one_line, visible

Choice = TypeVar("Choice", bound=str)
Key = TypeVar("Key")
Value = TypeVar("Value")


class BadInput(ValueError):
    """A file, an option or a folder cannot be used as asked.

    The message is one line: what was given, what is wrong with it, what was expected. The command
    line prints it and exits with status 2. Whatever a file or a library says in it is shown by
    ``vgg16_spec.text``; the attributes are as given.

    Args:
        given: the file or the option that cannot be used.
        problem: what is wrong with it.
        expected: what would have been accepted.
    """

    def __init__(self, given: str | os.PathLike[str], problem: str, expected: str = "") -> None:
        self.given = os.fspath(given)
        self.problem = problem
        self.expected = expected
        message = f"{visible(self.given)}: {one_line(problem)}"
        if expected:
            message += f"; expected {one_line(expected)}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        return type(self), (self.given, self.problem, self.expected)


def few(things: Iterable[object], most: int = 3) -> str:
    """The first things of a list and how many more there are: ``a, b, c and 5 more``."""
    texts = list(map(str, things))
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(count: int, one: str, more: str = "") -> str:
    """A number of things: ``1 label``, ``2 labels``; ``more`` is another plural than with an s."""
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def unique(
    pairs: Iterable[tuple[Key, Value]], found: dict[Key, Value] | None = None
) -> dict[Key, Value]:
    """Pairs as a dictionary, or put into one, so that no entry of a file hides another.

    Raises ``ValueError`` for a key that is there twice.
    """
    found = {} if found is None else found
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it has the key {str(key)[:99]!r} twice")
        found[key] = value
    return found


def require_one_of(option: str, value: str, allowed: tuple[Choice, ...]) -> Choice:
    """The value, as one of those allowed. Raises ``BadInput`` that names the option for another."""
    for known in allowed:
        if value == known:
            return known
    raise BadInput(option, f"{value!r} is unknown", f"one of {', '.join(filter(None, allowed))}")


def require_file(path: str | os.PathLike[str], expected: str) -> Path:
    """The path of a file to read, links followed. Raises ``BadInput`` where there is none."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise BadInput(path, "no such file", expected) from None
    except (OSError, ValueError) as error:  # ValueError for a name that no system takes
        reason = getattr(error, "strerror", None) or error
        raise BadInput(path, f"no such file ({reason})", expected) from error
    if stat.S_ISDIR(mode):
        raise BadInput(path, "is a folder", expected)
    # Opening a pipe waits for a writer, and a device may have no end.
    if not stat.S_ISREG(mode):
        raise BadInput(path, "is not a regular file", expected)
    return path
