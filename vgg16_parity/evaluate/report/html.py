"""An evaluation as one self-contained page of HTML: no script, no font, no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Final

from onnx_arbiter.report.page import page_environment
from vgg16_parity.evaluate.published import comparison_note
from vgg16_parity.evaluate.records import Dispute, Evaluation, Share
from vgg16_parity.evaluate.report import charts, table
from vgg16_spec.text import visible

# A thumbnail takes some 20 KB of the page.
MOST_DISPUTES: Final = 200
_OPEN_DISPUTES: Final = 10
_GROUP: Final = 25
_OPEN_CLASSES: Final = 10
_MOST_SKIPPED: Final = 100


@dataclass(frozen=True)
class ClassRow:
    """A class, how many images it has, and the share of each measured runtime; None without."""

    name: str
    index: int
    images: int
    shares: tuple[Share | None, ...]


def page(evaluation: Evaluation) -> str:
    """The page, as text. Disputes beyond ``MOST_DISPUTES`` are counted, and left to the JSON."""
    environment = page_environment("vgg16_parity.evaluate.report", "vgg16_parity.report")
    environment.filters |= {
        "answer_name": lambda answer: table.answer_name(evaluation, answer),
        "class_name": lambda index: table.class_name(evaluation, index),
        "cause": table.cause,
        "data_url": _data_url,
        "deviations": table.deviations,
        "grouped": table.grouped,
        "images": table.counted_images,
        "interval": table.interval,
        "percent": table.percent,
    }
    shown = evaluation.disputes[:MOST_DISPUTES]
    classes = class_rows(evaluation)
    note = comparison_note(evaluation)
    text = environment.get_template("evaluation.html.j2").render(
        evaluation=evaluation,
        holds=table.holds(evaluation),
        summary=_unbroken(table.summary(evaluation)),
        columns=table.COLUMNS,
        text_columns=table.TEXT_COLUMNS,
        rows=list(zip(evaluation.runtimes, table.table(evaluation), strict=True)),
        remarks=[line for line in table.remarks(evaluation) if line != note],
        panels=charts.panels(evaluation.runtimes),
        pair_columns=table.PAIR_COLUMNS,
        pairs=table.pair_table(evaluation),
        open_disputes=shown[:_OPEN_DISPUTES],
        more_disputes=_groups(shown, _OPEN_DISPUTES),
        disputes_left=len(evaluation.disputes) - len(shown),
        measured=table.measured(evaluation),
        open_classes=classes[:_OPEN_CLASSES],
        more_classes=classes[_OPEN_CLASSES:],
        skipped={
            "Unreadable": evaluation.unreadable,
            "Copies of other images": evaluation.duplicates,
        },
        most_skipped=_MOST_SKIPPED,
        published_columns=table.PUBLISHED_COLUMNS,
        published=table.published_table(evaluation),
        note=note,
        json_name=table.JSON_NAME,
        version=next((found.version for found in distributions(name="vgg16-parity")), ""),
    )
    return visible(text, keep="\n") + "\n"


def class_rows(evaluation: Evaluation) -> list[ClassRow]:
    """The classes with images, the one with the smallest mean top-1 of the runtimes first."""
    measured = table.measured(evaluation)
    found = [{each.index: each for each in runtime.classes} for runtime in measured]
    rows = []
    for index in sorted({index for classes in found for index in classes}):
        known = [classes.get(index) for classes in found]
        one = next(each for each in known if each is not None)
        shares = tuple(None if each is None else each.top1 for each in known)
        rows.append(ClassRow(one.name, index, one.top1.of, shares))
    return sorted(rows, key=_mean)


def _mean(row: ClassRow) -> float:
    values = [share.value for share in row.shares if share is not None]
    return sum(values) / len(values)


def _groups(disputes: Sequence[Dispute], start: int) -> list[tuple[int, Sequence[Dispute]]]:
    """Groups to open one by one: the number of the first dispute of each, and its disputes."""
    places = range(start, len(disputes), _GROUP)
    return [(place + 1, disputes[place : place + _GROUP]) for place in places]


def _unbroken(summary: str) -> str:
    """Keep ``top-1 71.59 %`` on one line of the title."""
    return re.sub(r"top-([15]) ([\d.]+) %", "top\u2011\\1\u00a0\\2\u00a0%", summary)


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
