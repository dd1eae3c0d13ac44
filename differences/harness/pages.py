"""The pages of the catalogue, and the part of each that is written from measurements."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from differences.harness.catalogue import CHAPTERS, module
from differences.harness.experiment import Finding, shown
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import whole_file

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "differences"
# The lines of a page between which ``python -m differences NAME --write`` writes.
BEGIN: Final = "<!-- measured -->"
END: Final = "<!-- /measured -->"
# Every page names these; an experiment's PACKAGES are added.
_PACKAGES: Final = ("keras", "tensorflow", "torch", "numpy")
_INCHES: Final = (8, 4)
_DPI: Final = 100


def page(name: str) -> Path:
    """The path of an experiment's page."""
    return FOLDER / f"{name.replace('_', '-')}.md"


def picture(name: str) -> Path:
    """The path of an experiment's plot, if it has one."""
    return page(name).with_suffix(".png")


def measured(name: str, finding: Finding) -> str:
    """The written part of a page: figures, claims, plot, and what they were measured with."""
    lines = ["| what | measured |", "| --- | ---: |"]
    lines += [f"| {what} | {shown(value)} |" for what, value in finding.figures.items()]
    for table in finding.tables:
        lines += ["", f"### {table.title}", "", _row(table.columns)]
        lines += [_row(["---", *["---:"] * (len(table.columns) - 1)])]
        lines += [_row([what, *map(shown, values)]) for what, values in table.rows.items()]
    lines += ["", "### What follows", ""] if finding.tables else [""]
    lines += [f"- {claim}" for claim in finding.claims]
    if finding.draw is not None:
        lines += ["", f"![{module(name).TITLE}]({picture(name).name})"]
    lines += ["", f"Measured by `python -m differences {page(name).stem}` with {_versions(name)}."]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _versions(name: str) -> str:
    """The versions that an experiment's figures depend on, and today's date."""
    packages = (*_PACKAGES, *getattr(module(name), "PACKAGES", ()))
    found = ", ".join(f"{package} {version(package)}" for package in packages)
    today = datetime.date.today().isoformat()
    return f"Python {platform.python_version()}, {found}, on {today}"


def rewritten(text: str, part: str, path: Path) -> str:
    """A page with another measured part.

    Raises:
        BadInput: the page has no measured part.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BadInput(path, "has no measured part", f"the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def write(name: str, finding: Finding) -> None:
    """Write a finding into the experiment's page, and draw its plot beside it.

    Raises:
        BadInput: there is no such page, or the finding does not support a claim.
    """
    if finding.disproved:
        problem = f"does not support: {' '.join(finding.disproved)}"
        raise BadInput(name, problem, "claims that hold")
    path = require_file(page(name), "a page to write the figures into")
    text = rewritten(path.read_text(encoding="utf-8"), measured(name, finding), path)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if finding.draw is not None:
        _draw(name, finding)


def write_index() -> None:
    """Write the table of contents: every page with its rule."""
    lines = [
        "# How the frameworks differ",
        "",
        "One page for each difference that matters to a port of VGG16, with the figures of an",
        "experiment and the rule for a safe port. `python -m differences NAME` runs an experiment.",
    ]
    for chapter, names in CHAPTERS.items():
        lines += ["", f"## {chapter}", "", "| difference | rule |", "| --- | --- |"]
        lines += [f"| [{module(n).TITLE}]({page(n).name}) | {module(n).RULE} |" for n in names]
    with whole_file(FOLDER / "index.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw(name: str, finding: Finding) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert finding.draw is not None
    drawn = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(drawn)
    finding.draw(drawn)
    with whole_file(picture(name)) as temporary:
        drawn.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
