"""Converts formulas to MathML, which browsers render without a script: a MkDocs hook.

The extension ``pymdownx.arithmatex`` marks the formulas up.
"""

from __future__ import annotations

import html
import re
from typing import Any, Final

from latex2mathml.converter import convert

_FORMULA: Final = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_: Any) -> str:
    """Return a page's HTML with its formulas as MathML."""
    return _FORMULA.sub(_as_mathml, content)


def _as_mathml(formula: re.Match[str]) -> str:
    latex = html.unescape(formula["latex"]).strip()
    return str(convert(latex, display="block" if formula["tag"] == "div" else "inline"))
