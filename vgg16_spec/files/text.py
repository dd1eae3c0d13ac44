"""Small text files that people write: recipes, lists of classes; and whether a name is text."""

from __future__ import annotations

import json
import os
from typing import Any

from vgg16_spec.errors import BadInput, require_file, unique


def read_text(path: str | os.PathLike[str], expected: str, most_bytes: int) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises ``BadInput``, which states what was ``expected``, for a file that is missing, larger than
    ``most_bytes``, or in another encoding.
    """
    path = require_file(path, expected)
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", expected) from error
    if len(content) > most_bytes:
        raise BadInput(path, f"has more than {most_bytes:,} bytes", expected)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(path, "is not UTF-8 text", expected) from error


def is_utf8(path: str | os.PathLike[str]) -> bool:
    """Whether a path can be written in UTF-8; on Linux, a name may be any bytes."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(text: str) -> Any:
    """A JSON document. Raises ``ValueError`` for a key that occurs twice, or deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
