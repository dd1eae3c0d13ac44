"""A report as one page of HTML that needs nothing else: no script, no font, no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from onnx_arbiter.limits import LIMITS
from vgg16_parity.inputs import PICTURES
from vgg16_parity.records import Decision, Image, Report, Row
from vgg16_parity.report import charts
from vgg16_parity.report.charts import HeatMap, Kind
from vgg16_parity.report.diff import Change
from vgg16_parity.report.table import COLUMNS, TEXT_COLUMNS, remarks, table
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import read_image
from vgg16_spec.labels import class_name

_THUMBNAIL: Final = 160
_QUALITY: Final = 80
# Beside the words, so that nobody depends on colours.
_MARKS: Final = {"holds": "✓", "broken": "✗", "failed": "!", "not run": "–"}


# What a heat map shows: its title, more about it, and what to say where it is empty.
_ABOUT: Final[dict[Kind, tuple[str, str, str]]] = {
    "accumulated": ("Accumulated", "every layer on what came before", "Nothing was compared here."),
    "local": ("Layer alone", "each given the arbiter's input", "No layer was run alone."),
    "beside cpu": ("Beside the CPU", "the difference, of what both may differ by", ""),
    "alone beside cpu": ("Layer alone beside the CPU", "given the arbiter's input", ""),
    "gradient": ("Gradients", "of the mean cross-entropy", ""),
    "parameter": ("Parameters", "after one step of SGD", ""),
    "velocity": ("Momentum", "after one step of SGD", ""),
}
_ALWAYS: Final = ("accumulated", "local")


@dataclass(frozen=True)
class Lane:
    """One lane's heat maps on one device, by what they show; only where that was compared."""

    name: str
    description: str
    mode: str
    maps: dict[Kind, HeatMap]


@dataclass(frozen=True)
class Opinion:
    """The first five classes that some runs agree on, in this order.

    Attributes:
        runs: their names.
        classes: each class's name, and whether the arbiter has it in the same place.
    """

    runs: tuple[str, ...]
    classes: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Picture:
    """One image and what every run made of it.

    Attributes:
        image: the image.
        thumbnail: a data URL; empty for an input that is no picture file.
        classes: the arbiter's first five, by name.
        opinions: those of the runs.
        decisions: run -> its decision.
    """

    image: Image
    thumbnail: str
    classes: tuple[str, ...]
    opinions: tuple[Opinion, ...]
    decisions: dict[str, Decision]


def page(
    report: Report, pictures: Sequence[Path] = (), moved: Sequence[Change] | None = None
) -> str:
    """The page, as text.

    Args:
        report: what a run found.
        pictures: the files of its photographs, in their order, for thumbnails; one that cannot be
            read any more has none.
        moved: what is different since an older report; none where there is no older one.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("vgg16_parity.report", "templates"),
        autoescape=True,  # names of files, packages and layers are what others chose
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": charts.number, "scientific": _scientific, "lead": _lead}
    histograms = charts.histograms(report.rows)
    text = environment.get_template("report.html.j2").render(
        report=report,
        marks=_MARKS,
        columns=COLUMNS,
        text_columns=TEXT_COLUMNS,
        rows=list(zip(report.rows, table(report), strict=True)),
        remarks=remarks(report),
        moved=moved,
        lanes=_lanes(report.rows),
        about=_ABOUT,
        limits=LIMITS,
        limit_heat=charts.heat(LIMITS.ratio.limit),
        histograms=histograms,
        places=charts.places(len(histograms[0].counts)) if histograms else {},
        limit_position=charts.position(LIMITS.deviations.limit),
        cases=_cases(report, pictures),
        version=_version(),
    )
    return text + "\n"


def _lanes(rows: Sequence[Row]) -> list[Lane]:
    lanes: dict[str, list[Row]] = {}
    for row in rows:
        lanes.setdefault(row.setting, []).append(row)
    return [
        Lane(
            name,
            LANES[of[0].lane].description if of[0].lane in LANES else "",
            of[0].mode,
            {
                kind: found
                for kind in charts.KINDS
                if (found := charts.heat_map(of, kind)).lines or kind in _ALWAYS
            },
        )
        for name, of in lanes.items()
    ]


def _cases(report: Report, files: Sequence[Path]) -> dict[str, list[Picture]]:
    """Case -> its images."""
    decided: dict[str, dict[str, tuple[Decision, ...]]] = {case.name: {} for case in report.cases}
    for row in report.rows:
        for verdict in row.cases:
            if verdict.decisions:
                decided.setdefault(verdict.case, {})[row.name] = verdict.decisions
    found: dict[str, list[Picture]] = {}
    for case in report.cases:
        paths = files if case.name == PICTURES else ()
        thumbnails = dict(enumerate(map(_thumbnail, paths)))
        found[case.name] = [
            _picture(
                image,
                thumbnails.get(index, ""),
                {name: of[index] for name, of in decided[case.name].items()},
                report.weights.classes,
            )
            for index, image in enumerate(case.images)
        ]
    return found


def _picture(image: Image, thumbnail: str, decisions: dict[str, Decision], classes: int) -> Picture:
    grouped: dict[tuple[int, ...], list[str]] = {}
    for name, decision in decisions.items():
        grouped.setdefault(decision.top5, []).append(name)
    opinions = [
        Opinion(
            tuple(names),
            tuple(
                (class_name(index, classes), place < len(image.top5) and image.top5[place] == index)
                for place, index in enumerate(top)
            ),
        )
        for top, names in grouped.items()
    ]
    expected = tuple(class_name(index, classes) for index in image.top5)
    return Picture(image, thumbnail, expected, tuple(opinions), decisions)


def _lead(decision: Decision) -> float:
    """How many times the largest error fits into the margin."""
    return decision.margin / decision.largest_error if decision.largest_error else math.inf


def _scientific(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.2e}"


def _version() -> str:
    """The project's own; empty where it runs without having been installed."""
    try:
        return version("vgg16-parity")
    except PackageNotFoundError:
        return ""


def _thumbnail(path: Path) -> str:
    try:
        picture = read_image(path)
    except (BadInput, OSError):
        return ""
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
