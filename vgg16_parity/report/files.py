"""The files that a report is written to, and the older report that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, whole_file

if TYPE_CHECKING:
    from vgg16_parity.records import Report
    from vgg16_parity.report.json import Change, Document


@dataclass(frozen=True)
class ReportFiles:
    """Where to write a report, and what to compare it with; None for what is not wanted.

    Attributes:
        json: the JSON document, ``--report``.
        html: the page, ``--html``.
        junit: the JUnit XML, ``--junit``.
        against: an older JSON document.
    """

    json: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    against: Path | None = None

    def check(self, inputs: Iterable[Path]) -> Document | None:
        """Find out before the run what would fail after it.

        Args:
            inputs: the files that the run reads.

        Returns:
            The older report. Its file may be overwritten by the new one.

        Raises:
            BadInput: for a file that cannot be written, has two options or is an input, and for an
                older report that cannot be read.
        """
        taken = {path.resolve(): "an input" for path in inputs}
        for option, path in self._named().items():
            if self.against is not None and option != "--report":
                taken.setdefault(self.against.resolve(), "--against")
            if (other := taken.setdefault(path.resolve(), option)) != option:
                raise BadInput(option, f"{path} is also {other}", "a file of its own")
            check_writable(path)
        if self.against is None:
            return None
        from vgg16_parity.report.schema import read

        return read(self.against)

    def write(
        self, report: Report, pictures: Sequence[Path] = (), moved: Sequence[Change] | None = None
    ) -> list[Path]:
        """Write each file whole, or leave it as it was.

        Args:
            report: what a run found.
            pictures: the files of its photographs.
            moved: the changes since an older report; None without one.

        Returns:
            The files that were written.

        Raises:
            BadInput: if a file cannot be written.
        """
        from vgg16_parity.report import html, json, junit

        for option, path in self._named().items():
            with whole_file(path) as temporary:
                if option == "--junit":
                    junit.write(report, temporary)
                    continue
                page = option == "--html"
                text = html.page(report, pictures, moved) if page else json.text(report, moved)
                # A file's name need not be UTF-8; JSON reads the escape back.
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        return list(self._named().values())

    def _named(self) -> dict[str, Path]:
        options = {"--report": self.json, "--html": self.html, "--junit": self.junit}
        return {option: path for option, path in options.items() if path is not None}
