"""The files that ``benchmarks.cuda`` writes while it measures."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.cuda import page
from benchmarks.cuda.results import Results
from benchmarks.harness import command
from vgg16_parity.report.json import to_json
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.images.photographs import PHOTOGRAPHS

# The lines of the documentation's page between which the measured part stands.
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
PAGE: Final = "cuda.md"


class Output:
    """The folder of a run and, where given, the page of the documentation.

    Args:
        folder: made when first written to.
        document: a page with a measured part, which is replaced.
        asked: the command that measures.

    Raises:
        BadInput: the page does not exist or has no measured part.
    """

    def __init__(self, folder: Path, document: Path | None, asked: str) -> None:
        self._folder = folder
        self._document = document
        self._asked = asked
        if document is not None:
            inserted(document, "")  # refused now, not after minutes of measuring

    @property
    def folder(self) -> Path:
        """The folder, which exists from here on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def save(self, results: Results) -> None:
        """Write the figures: ``report.json`` and ``throughput.json``."""
        report, rest = to_json(results.report), results.document()
        for name, values in (("report.json", report), ("throughput.json", rest)):
            text = json.dumps(values, indent=2, allow_nan=False)
            command.write(self.folder / name, text + "\n")

    def publish(self, results: Results, *, draw: bool) -> str:
        """Write everything from the results so far, the plots only if asked for.

        Returns:
            The page.
        """
        self.save(results)
        if find_spec("jinja2") is None:
            command.say("report.html is left out: jinja2 is not installed")
        else:
            from vgg16_parity.report import html

            pictures = [photograph.path for photograph in PHOTOGRAPHS]
            command.write(self.folder / "report.html", html.page(results.report, pictures))
        plots = self._plots(results) if draw else {}
        text = page.markdown(results, self._asked, plots)
        command.write(self.folder / PAGE, f"# Measured on {results.device.upper()}\n\n{text}")
        if self._document is not None and draw:
            beside = {f"{self._document.stem}-{name}": shown for name, shown in plots.items()}
            measured = page.markdown(results, self._asked, beside)
            command.write(self._document, inserted(self._document, measured))
        return text

    def _plots(self, results: Results) -> dict[str, str]:
        """Draw into the folder, and beside the page. Returns file -> what it shows."""
        if find_spec("matplotlib") is None:
            command.say("plots are left out: matplotlib is not installed")
            return {}
        from benchmarks.cuda import plot
        from benchmarks.harness import plots

        found = {}
        for name, figure in plot.figures(results).items():
            plots.write(figure, self.folder / name)
            if self._document is not None:
                plots.write(figure, self._document.with_name(f"{self._document.stem}-{name}"))
            found[name] = plot.CAPTIONS[name]
        return found


def inserted(path: Path, measured: str) -> str:
    """A page with its measured part replaced.

    Raises:
        BadInput: the page does not exist or has no measured part.
    """
    text = require_file(path, "a page to write into").read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise BadInput(path, "has no measured part", f"the lines {_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{measured.strip()}\n\n{end}{after}"
