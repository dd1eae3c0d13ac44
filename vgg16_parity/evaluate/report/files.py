"""The files that an evaluation is written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vgg16_parity.evaluate.records import Evaluation
from vgg16_parity.evaluate.report import answers, html, json
from vgg16_parity.evaluate.report.table import JSON_NAME
from vgg16_parity.evaluate.statistics import Statistics
from vgg16_spec.files.atomic import whole_file


def write_files(folder: Path, evaluation: Evaluation, statistics: Statistics) -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.html`` and ``answers.csv`` into a folder.

    Each is written whole or left as it was. Returns their paths. Raises ``BadInput`` if one cannot
    be written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        JSON_NAME: lambda path: path.write_text(json.text(evaluation), encoding="utf-8"),
        "evaluation.html": lambda path: path.write_text(html.page(evaluation), encoding="utf-8"),
        "answers.csv": lambda path: answers.write(statistics, path),
    }
    for name, write in writers.items():
        with whole_file(folder / name) as temporary:
            write(temporary)
    return [folder / name for name in writers]
