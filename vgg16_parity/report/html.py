"""A report as one self-contained page of HTML: no script, no font, no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from onnx_arbiter.limits import LIMITS
from onnx_arbiter.report.page import page_environment
from vgg16_parity.inputs import PICTURES
from vgg16_parity.network.coverage import ENOUGH
from vgg16_parity.records import KINDS, Image, Kind, Report, Row
from vgg16_parity.report import charts
from vgg16_parity.report.coverage import alike, lacking, percent
from vgg16_parity.report.json import Change
from vgg16_parity.report.table import COLUMNS, TEXT_COLUMNS, remarks, summary, table
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.verdicts import Decision
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import read_image
from vgg16_spec.text import visible

_THUMBNAIL: Final = 160
_QUALITY: Final = 80
# The kinds that the page has a word for if they were not compared.
_EXPECTED: Final[tuple[Kind, ...]] = ("accumulated", "local")


@dataclass(frozen=True)
class Picture:
    """An image of a case, its picture as a data URL or empty, and its decision in every run."""

    image: Image
    thumbnail: str
    decisions: Mapping[str, Decision]

    @property
    def opinions(self) -> dict[tuple[int, ...], list[str]]:
        """Five top classes, in order -> the runs that agree on them."""
        found: dict[tuple[int, ...], list[str]] = {}
        for run, decision in self.decisions.items():
            found.setdefault(decision.top5, []).append(run)
        return found


def page(
    report: Report, pictures: Sequence[Path] = (), moved: Sequence[Change] | None = None
) -> str:
    """The page, as text.

    Args:
        report: what a run found.
        pictures: the files of its photographs, in order, for thumbnails; a file that cannot be
            read any more gets none.
        moved: the changes since an older report; None without one.
    """
    environment = page_environment("vgg16_parity.report")
    weights = report.weights
    names = weights.metadata.class_names(weights.classes, weights.path)
    environment.filters |= {
        "class_name": names.__getitem__,
        "facts": asdict,
        "heat": charts.heat,
        "lacking": lacking,
        "lead": _lead,
        "number": charts.number,
        "percent": percent,
        "scientific": lambda value: "∞" if math.isinf(value) else f"{value:.2e}",
    }
    histograms = charts.histograms(report.rows)
    text = environment.get_template("report.html.j2").render(
        report=report,
        summary=summary(report),
        columns=COLUMNS,
        text_columns=TEXT_COLUMNS,
        rows=list(zip(report.rows, table(report), strict=True)),
        remarks=remarks(report),
        moved=moved,
        lanes=_lanes(report.rows),
        descriptions={name: lane.description for name, lane in LANES.items()},
        limits=LIMITS,
        histograms=histograms,
        places=charts.places(len(histograms[0].counts)) if histograms else {},
        limit_position=charts.position(LIMITS.deviations.limit),
        coverages=alike(report),
        enough=percent(ENOUGH),
        cases=_cases(report, pictures),
        version=next((found.version for found in distributions(name="vgg16-parity")), ""),
    )
    return visible(text, keep="\n") + "\n"


def _lanes(rows: Sequence[Row]) -> dict[str, tuple[list[Row], dict[Kind, charts.HeatMap]]]:
    """Lane with device -> its rows and their heat maps."""
    lanes: dict[str, list[Row]] = {}
    for row in rows:
        lanes.setdefault(row.setting, []).append(row)
    return {
        name: (of, {k: lines for k in KINDS if (lines := charts.heat_map(of, k)) or k in _EXPECTED})
        for name, of in lanes.items()
    }


def _cases(report: Report, files: Sequence[Path]) -> dict[str, list[Picture]]:
    """Case -> its images."""
    thumbnails = [_thumbnail(file) for file in files]
    cases: dict[str, list[Picture]] = {}
    for facts in report.cases:
        shown = thumbnails if facts.name == PICTURES else []
        decided = {
            row.name: verdict.decisions
            for row in report.rows
            for verdict in row.cases
            if verdict.case == facts.name and verdict.decisions
        }
        cases[facts.name] = [
            Picture(
                image,
                shown[index] if index < len(shown) else "",
                {run: decisions[index] for run, decisions in decided.items()},
            )
            for index, image in enumerate(facts.images)
        ]
    return cases


def _lead(decision: Decision) -> float:
    """The margin over the largest error."""
    return decision.margin / decision.largest_error if decision.largest_error else math.inf


def _thumbnail(path: Path) -> str:
    """A data URL; empty if the file cannot be read."""
    try:
        picture = read_image(path)
    except (BadInput, OSError):
        return ""
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
