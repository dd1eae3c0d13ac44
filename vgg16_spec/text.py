"""Text that others wrote, shown so that it does nothing and hides nothing.

Names in files and folders, environment variables, and what libraries and servers say may hold
characters that steer a terminal, reverse what follows them, or cannot be seen. Whatever shows text
passes it through `visible`; the values themselves stay as they are.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

# In these scripts, joiners decide which form of a letter is shown.
_JOINED_SCRIPTS: Final = "\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af"
_EMOJI: Final = "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff"
# Of these, variation selectors choose a form.
_WITH_FORMS: Final = f"{_EMOJI}\u1000-\u109f\u3000-\u9fff\ua840-\ua877\uf900-\ufaff\uff01-\uff1f"
_IDEOGRAPHS: Final = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Characters that are invisible alone and are part of the text where they stand like this.
_PARTS: Final = "|".join(
    (
        "(?<=[0-9#*])\ufe0f(?=\u20e3)",  # keycaps
        # Flags of regions.
        "(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f",
        f"(?<=[{_JOINED_SCRIPTS}])[\u200c\u200d]",
        f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])",  # families, professions
        f"(?<=[{_WITH_FORMS}])[\ufe00-\ufe0f]",
        f"(?<=[{_IDEOGRAPHS}])[\U000e0100-\U000e01ef]",
        "(?<=[\u1820-\u18aa])[\u180b-\u180d\u180f]",  # Mongolian
    )
)
_HIDDEN: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ud800-\udfff"  # halves of a pair, which UTF-8 cannot write
    "\ufff9-\ufffb\ufffe\uffff"  # annotations, and two that XML cannot write
    # Unicode's Default_Ignorable_Code_Point: what controls direction or joins, and what has no
    # shape or no width.
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_SHOWN: Final = re.compile(f"(?=[{_HIDDEN}])(?:(?P<part>{_PARTS})|.)", re.DOTALL)
_BLANKS: Final = re.compile(r"[ \t\n\v\f\r]+")
# Characters: more than any message has that is not a file's own text.
_LONGEST_LINE: Final = 2000


def visible(text: str, keep: str = "") -> str:
    r"""The text with what controls, reverses or hides as an escape: ``\x1b``, ``\u202e``.

    Text of any language stays as it is, emoji and combining characters included, and so do the
    characters to ``keep``.
    """
    if text.isascii() and text.isprintable():
        return text
    return _SHOWN.sub(
        lambda found: (
            found[0]
            if found["part"] or found[0] in keep
            else found[0].encode("unicode_escape").decode()
        ),
        text,
    )


def one_line(text: str) -> str:
    """The same as one line: ends of lines, and blanks in a row, are one space.

    What is longer than anybody reads, such as a shape of a hundred thousand axes, is cut.
    """
    line = _BLANKS.sub(" ", text).strip(" ")
    return visible(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …")


def json_text(document: Any) -> str:
    """A JSON document for people and programs.

    What `visible` would escape is escaped as JSON does it: a program reads the exact value, also of
    a name that UTF-8 cannot write, and a terminal or an editor shows what is there.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    # Ends of lines outside of strings are the document's own; those inside are escaped already.
    return _SHOWN.sub(
        lambda found: found[0] if found["part"] or found[0] == "\n" else json.dumps(found[0])[1:-1],
        text,
    )


def json_values(values: Any) -> Any:
    """Values as JSON has them; a number that JSON cannot hold, infinity or NaN, is null."""
    return json.loads(json.dumps(values), parse_constant=lambda _: None)


def markdown_code(text: str) -> str:
    """Text as code in a line of Markdown, where neither Markdown nor HTML in it has an effect."""
    line = visible(text) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    # One space at each end does not count, unless there is nothing else.
    room = " " if line.strip(" ") and {line[0], line[-1]} & set("` ") else ""
    return f"{fence}{room}{line}{room}{fence}"
