"""Lets the API reference read this project's docstrings: a Griffe extension.

``Parameters`` here are lines ``name: what it is``, and paragraphs may follow them. NumPy's form, as
Griffe reads it, wants the text below the name and nothing after the section.
"""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_SECTION: Final = re.compile(r"(?m)^Parameters\n-+\n")
# Sphinx's :meth:`images` -> `images`.
_ROLE: Final = re.compile(r":[a-z]+:(?=`)")


def restated(text: str) -> str:
    """A docstring with its parameters last, each one's text below its name."""
    before, *rest = _SECTION.split(_ROLE.sub("", text), maxsplit=1)
    if not rest:
        return before
    parameters, after = _cut(rest[0])
    return f"{before}{after}\n\nParameters\n----------\n{parameters}"


def _cut(section: str) -> tuple[str, str]:
    listed, _, after = section.partition("\n\n")
    lines = []
    for line in listed.splitlines():
        name, separator, text = line.partition(": ")
        if separator and not line.startswith(" "):
            lines += [name, f"    {text}"]
        else:
            lines.append(f"    {line.strip()}")
    return "\n".join(lines), after.strip()


class ProjectDocstrings(griffe.Extension):
    """Restates every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = restated(obj.docstring.value)
