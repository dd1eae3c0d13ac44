"""The JSON Schema of evaluations that is shipped, from the records.

``python -m parity_tests.support.pages.evaluation_schema`` writes it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from vgg16_parity.evaluate.report.json import schema
from vgg16_spec.text import json_text

FILE: Final = Path(str(files("vgg16_parity.evaluate.report"))) / "evaluation-1.schema.json"


def updated() -> str:
    """The text of the file as the records have it."""
    return json_text(schema()) + "\n"


if __name__ == "__main__":
    FILE.write_text(updated(), encoding="utf-8")
