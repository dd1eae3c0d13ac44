"""The text of a JUnit document."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from junitparser import JUnitXml


def xml_text(document: JUnitXml) -> str:
    """A document as the text of a file."""
    file = io.BytesIO()
    document.write(file, pretty=True)
    return file.getvalue().decode()
