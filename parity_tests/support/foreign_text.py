"""Text as an attacker would write it, and what of it must not reach a reader."""

from __future__ import annotations

import unicodedata
from typing import Final

from parity_tests.support.helpers import Outcome

# Colours and a bell, C1's form of the same, DEL, directions, what has no width, ends of lines.
_UNSEEN: Final = (
    "\x1b[31m\x07\x9b1m\x7f\x85\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068"
    "\u2069\u200b\u200c\u200d\u2060\ufeff\xad\u115f\u3164\U000e0041\u2028\u2029"
)
# Markup of Rich, Markdown and HTML, and what a name may have in any language.
_MARKUP: Final = "[red][link=x:y]`|<b>&*é鶴"
# What a JSON document, a text in a weights file and a variable may have.
HOSTILE: Final = f"{_MARKUP}{_UNSEEN}\n\r\t"
# A file's name too has a half of a pair for each byte that is no UTF-8; it has neither / nor NUL.
NAME: Final = f"{HOSTILE}\udcff"

_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Of categories that are seen otherwise: fillers and joiners without a shape.
_FILLERS: Final = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"


def unseen(text: str, allowed: str = "\n") -> set[str]:
    """The characters in a text that control, reverse or hide."""
    return {
        character
        for character in set(text) - set(allowed)
        if unicodedata.category(character) in _UNSEEN_CATEGORIES or character in _FILLERS
    }


# The beginning and the end of a hostile text: a long one may be cut.
SEEN: Final = ("[red]", r"\u2029")


def is_shown(done: Outcome, status: int, stream: str = "out") -> None:
    """Nothing unseen is on either stream, and the text, or its end, is on one as it can be seen."""
    assert done.status == status, done.err
    assert not unseen(done.out + done.err)
    assert "Traceback" not in done.err
    assert any(part in getattr(done, stream) for part in SEEN)


def is_refused(done: Outcome) -> None:
    """In one line that shows the text."""
    is_shown(done, 2, "err")
    assert any(part in done.err.splitlines()[-1] for part in SEEN)
    assert done.out == ""
