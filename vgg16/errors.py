"""The one exception that means "what you gave me cannot be used"."""

from __future__ import annotations

import os


class BadInput(ValueError):
    """A file, an option or a folder cannot be used as asked.

    The message is one line: what was given, what is wrong with it, what was expected. The command
    line prints it and exits with status 2.

    Parameters
    ----------
    given: the file or the option that cannot be used.
    problem: what is wrong with it.
    expected: what would have been accepted.
    """

    def __init__(self, given: str | os.PathLike[str], problem: str, expected: str = "") -> None:
        self.given = os.fspath(given)
        self.problem = problem
        self.expected = expected
        message = f"{self.given}: {problem}"
        if expected:
            message += f"; expected {expected}"
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        return type(self), (self.given, self.problem, self.expected)
