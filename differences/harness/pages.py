"""The pages of the catalogue: the part of each that is written from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from differences.harness.catalogue import CHAPTERS, module
from differences.harness.experiment import Finding
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "differences"
# What stands between these lines of a page is written by ``python -m differences --write``.
BEGIN: Final = "<!-- measured -->"
END: Final = "<!-- /measured -->"
_INCHES: Final = (8, 4)
_DPI: Final = 100


def page(name: str) -> Path:
    """Where an experiment's page lies."""
    return FOLDER / f"{name.replace('_', '-')}.md"


def picture(name: str) -> Path:
    """Where an experiment's plot lies, if it has one."""
    return page(name).with_suffix(".png")


def measured(name: str, finding: Finding) -> str:
    """The written part of a page: the command, the figures, the claims and the plot."""
    lines = [
        f"`python -m differences {name}` measured:",
        "",
        "| what | measured |",
        "| --- | ---: |",
    ]
    lines += [f"| {figure.name} | {figure.text} |" for figure in finding.figures]
    lines += ["", *(f"- {claim.sentence}" for claim in finding.claims)]
    if finding.draw is not None:
        lines += ["", f"![{module(name).TITLE}]({picture(name).name})"]
    return "\n".join(lines)


def rewritten(text: str, part: str, path: Path) -> str:
    """A page with another measured part. Raises ``BadInput`` for one that has no place for it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BadInput(path, "has no measured part", f"the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def write(name: str, finding: Finding) -> None:
    """Put what was found into the experiment's page, and draw its plot beside it.

    Raises ``BadInput`` where there is no such page, or a claim does not hold.
    """
    for claim in finding.claims:
        if not claim.holds:
            raise BadInput(name, f"was not borne out: {claim.sentence}", "a claim that holds")
    path = page(name)
    if not path.is_file():
        raise BadInput(path, "no such page", "a page to write the figures into")
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
        "One page for each difference that a port of VGG16 meets: what it is, what an experiment",
        "measured, and the rule to port safely. `python -m differences NAME` runs an experiment.",
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
