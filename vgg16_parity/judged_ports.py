"""What a test run judged: passed between processes as text, written as one set of reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vgg16_parity.records import Report
from vgg16_parity.report.files import write_files
from vgg16_parity.report.json import encode
from vgg16_parity.report.schema import decode

# The stems of the files; those of a second checkpoint are report-2.json, and so on.
REPORT: Final = "report"
JUNIT: Final = "junit"


@dataclass(frozen=True)
class JudgedPort:
    """One port, judged in one test.

    Attributes:
        test: pytest's id of the test.
        number: how many ports the test had judged before.
        report: a report with the port's row alone.
        pictures: the files that the port ran on.
    """

    test: str
    number: int
    report: Report
    pictures: tuple[str, ...]

    def to_text(self) -> str:
        """As JSON, for another process."""
        return json.dumps(encode(self))

    @classmethod
    def of_text(cls, text: str) -> JudgedPort:
        """The inverse of `to_text`."""
        return decode(cls, json.loads(text))


def write(judged: Sequence[JudgedPort], folder: Path) -> list[Path]:
    """Write JSON, HTML and JUnit reports into a folder, one of each per checkpoint and batch.

    Rows are in the order of the tests' ids, however many processes ran them.

    Returns:
        The files that were written.

    Raises:
        BadInput: if a file cannot be written.
    """
    groups: dict[str, list[JudgedPort]] = {}
    for one in sorted(judged, key=lambda one: (one.test, one.number)):
        key = json.dumps([encode(one.report.weights), *map(encode, one.report.cases)])
        groups.setdefault(key, []).append(one)
    written: list[Path] = []
    for number, key in enumerate(sorted(groups), 1):
        suffix = "" if number == 1 else f"-{number}"
        files = {
            "--report": folder / f"{REPORT}{suffix}.json",
            "--html": folder / f"{REPORT}{suffix}.html",
            "--junit": folder / f"{JUNIT}{suffix}.xml",
        }
        pictures = [Path(file) for file in groups[key][0].pictures]
        write_files(files, _merged([one.report for one in groups[key]]), pictures)
        written += files.values()
    return written


def _merged(reports: Sequence[Report]) -> Report:
    """One report with all rows; the arbiter ran once in each process."""
    return replace(
        reports[0],
        rows=tuple(row for report in reports for row in report.rows),
        arbiter_seconds=max(report.arbiter_seconds for report in reports),
        peak_bytes=max(report.peak_bytes for report in reports),
    )
