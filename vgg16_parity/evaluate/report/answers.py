"""Every image's answers as a CSV file, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vgg16_parity.evaluate.statistics import NO_ANSWER, Answers, Statistics
from vgg16_spec.text import visible

# What a spreadsheet takes for a formula, the full-width forms included; blanks may come before it.
# OWASP, CSV injection.
_FORMULA: Final = tuple("=+-@＝＋－＠")
_PER_RUNTIME: Final = ("top1", "name", "probability", "top1 right", "top5 right", "loss")


def write(statistics: Statistics, path: Path) -> None:
    """Write a row for each image: its name, its label, and of each runtime its answer.

    The columns of a runtime are the index of its likeliest class, that class's name and
    probability, 1 or 0 for a label that is the likeliest class and that is among the five likeliest
    ones, and the cross-entropy in nats. Cells are empty where there is no label, or no finite
    logits. Text that a spreadsheet would run begins with an apostrophe; control characters are
    escaped.
    """
    runtimes = statistics.answers
    header = [f"{runtime} {column}" for runtime in runtimes for column in _PER_RUNTIME]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(_text, ["image", "label", "label name", *header]))
        for place, (name, label) in enumerate(
            zip(statistics.names, statistics.labels, strict=True)
        ):
            row: list[str] = [_text(name), "", ""]
            if label is not None:
                row[1:] = [str(label), _text(statistics.class_names[label])]
            for said in runtimes.values():
                row += _cells(statistics, said, place, label)
            writer.writerow(row)


def _cells(statistics: Statistics, said: Answers, place: int, label: int | None) -> Iterator[str]:
    top5 = said.top5[place].tolist()
    known = top5[0] != NO_ANSWER
    yield str(top5[0]) if known else ""
    yield _text(statistics.class_names[top5[0]]) if known else ""
    yield _number(said.probability[place])
    for count in (1, 5):
        yield "" if label is None else str(int(label in top5[:count]))
    yield _number(said.loss[place])


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.9g}"


def _text(text: str) -> str:
    """Text that neither a spreadsheet nor a terminal acts on."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
