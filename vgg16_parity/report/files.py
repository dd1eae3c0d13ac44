"""The files that a report is written to, and the older report that it is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, whole_file

if TYPE_CHECKING:
    from vgg16_parity.records import Report
    from vgg16_parity.report.json import Change, Document


def check_files(
    files: Mapping[str, Path], inputs: Iterable[Path], against: Path | None
) -> Document | None:
    """Find out before the run what would fail after it, and read the older report.

    Args:
        files: option -> where to write: ``--report``, ``--html``, ``--junit``.
        inputs: the files that the run reads.
        against: an older JSON document, which ``--report`` may overwrite.

    Raises:
        BadInput: for a file that cannot be written, has two options or is an input, and for an
            older report that cannot be read.
    """
    taken = {path.resolve(): "an input" for path in inputs}
    for option, path in files.items():
        if against is not None and option != "--report":
            taken.setdefault(against.resolve(), "--against")
        if (other := taken.setdefault(path.resolve(), option)) != option:
            raise BadInput(option, f"{path} is also {other}", "a file of its own")
        check_writable(path)
    if against is None:
        return None
    from vgg16_parity.report.schema import read

    return read(against)


def write_files(
    files: Mapping[str, Path],
    report: Report,
    pictures: Sequence[Path] = (),
    moved: Sequence[Change] | None = None,
) -> None:
    """Write each file whole, or leave it as it was.

    ``pictures`` are the files of the report's photographs, ``moved`` the changes since an older
    report. Raises ``BadInput`` if a file cannot be written.
    """
    from vgg16_parity.report import html, json, junit

    texts: dict[str, Callable[[], str]] = {
        "--report": lambda: json.text(report, moved),
        "--html": lambda: html.page(report, pictures, moved),
        "--junit": lambda: junit.text(report),
    }
    for option, path in files.items():
        with whole_file(path) as temporary:
            temporary.write_text(texts[option](), encoding="utf-8")


def write_reports(ports: Sequence[tuple[Report, Sequence[Path]]], folder: Path) -> list[Path]:
    """Write JSON, HTML and JUnit reports into a folder, one of each per checkpoint and batch.

    ``ports`` are a report of each port and the pictures that it ran on. The second checkpoint's
    files are ``report-2.json`` and so on.

    Returns:
        The files that were written.

    Raises:
        BadInput: if a file cannot be written.
    """
    from vgg16_parity.report.json import encode

    groups: dict[str, list[tuple[Report, Sequence[Path]]]] = {}
    for report, pictures in ports:
        key = json.dumps([encode(report.weights), *map(encode, report.cases)])
        groups.setdefault(key, []).append((report, pictures))
    written: list[Path] = []
    for number, (_, group) in enumerate(sorted(groups.items()), 1):
        suffix = "" if number == 1 else f"-{number}"
        files = {
            "--report": folder / f"report{suffix}.json",
            "--html": folder / f"report{suffix}.html",
            "--junit": folder / f"junit{suffix}.xml",
        }
        reports = [report for report, _ in group]
        merged = replace(
            reports[0],
            rows=tuple(row for report in reports for row in report.rows),
            # The arbiter ran once in each process.
            arbiter_seconds=max(report.arbiter_seconds for report in reports),
            peak_bytes=max(report.peak_bytes for report in reports),
        )
        write_files(files, merged, group[0][1])
        written += files.values()
    return written
