"""The files that ``vgg16 parity`` writes, and the older report that it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgg16_parity.cli.console import say
from vgg16_spec.errors import BadInput

if TYPE_CHECKING:
    from vgg16_parity.records import Report
    from vgg16_parity.report.diff import Change


@dataclass(frozen=True)
class ReportFiles:
    """Which reports to write, and what to compare with.

    Attributes:
        json: the report as JSON; none where it is not wanted.
        html: the report as a page; likewise.
        junit: the report as JUnit XML; likewise.
        against: an older report as JSON.
    """

    json: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    against: Path | None = None

    def check(self, inputs: Iterable[Path]) -> dict[str, Any] | None:
        """Find out before the work what would fail after it; gives the older report.

        Raises ``BadInput`` for a file that cannot be written, that two options name, or that is one
        of the run's inputs, and for an older report that is none. The older report may be written
        anew.
        """
        from vgg16_parity.report.schema import read
        from vgg16_spec.files.atomic import check_writable

        taken = {path.resolve(): "an input" for path in inputs}
        for option, path in self._named():
            if self.against is not None and option != "--report":
                taken.setdefault(self.against.resolve(), "--against")
            if (other := taken.setdefault(path.resolve(), option)) != option:
                raise BadInput(option, f"{path} is {other} too", "a file of its own")
            check_writable(path)
        return None if self.against is None else read(self.against)

    def write(
        self,
        report: Report,
        document: dict[str, Any],
        pictures: Sequence[Path],
        moved: Sequence[Change] | None,
    ) -> None:
        """Write what is wanted, each file whole.

        Args:
            report: what a run found.
            document: the same as JSON.
            pictures: the files of its photographs.
            moved: what is different since the older report; none where there is none.
        """
        from vgg16_spec.files.atomic import whole_file

        for option, path in self._named():
            with whole_file(path) as temporary:
                if option == "--junit":
                    from vgg16_parity.report import junit

                    junit.write(report, temporary)
                else:
                    text = _page(report, pictures, moved) if option == "--html" else _text(document)
                    # A file's name need not be UTF-8; JSON reads the escape back.
                    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            say(f"report: {path}")

    def _named(self) -> list[tuple[str, Path]]:
        options = {"--report": self.json, "--html": self.html, "--junit": self.junit}
        return [(option, path) for option, path in options.items() if path is not None]


def _page(report: Report, pictures: Sequence[Path], moved: Sequence[Change] | None) -> str:
    from vgg16_parity.report.html import page

    return page(report, pictures, moved)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
