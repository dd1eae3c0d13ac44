"""What the system refuses, as one line for the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vgg16_spec.errors import BadInput


@contextmanager
def refusals_told(
    given: str | os.PathLike[str], problem: str, numbers: frozenset[int], expected: str
) -> Iterator[None]:
    """Turn the system's errors of these ``numbers`` into ``BadInput``: the problem and its reason.

    Libraries that write files raise another error while they close the one that could not be
    written: the refusal is looked for behind it, as far as what was handled before.
    """
    outside = sys.exc_info()[1]
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if (refusal := _behind(error, numbers, outside)) is not None:
            raise BadInput(given, f"{problem} ({refusal.strerror})", expected) from error
        raise


def _behind(
    error: Exception, numbers: frozenset[int], outside: BaseException | None
) -> OSError | None:
    cause: BaseException | None = error
    while cause is not None and cause is not outside:
        if isinstance(cause, OSError) and cause.errno in numbers:
            return cause
        cause = cause.__context__
    return None
